import { chmod, mkdir, mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import type { Surroundings } from "../../src/config/environment.ts";
import { programEnv, stateDirectory } from "../../src/config/environment.ts";
import { demandHome, loadSettings, type SettingFlags } from "../../src/config/load-settings.ts";
import { locateHome } from "../../src/config/locate-home.ts";
import {
  DEFAULT_LIMITS,
  DEFAULT_PASSKEYS,
  DEFAULT_SESSIONS,
  type Settings,
} from "../../src/config/settings.ts";
import { CountersignError } from "../../src/errors.ts";

const servicesSchema = z.record(
  z.string(),
  z.strictObject({ environment: z.string(), repository: z.string() }),
);

let root: string;
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), "countersign-config-")));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const around = (env: Record<string, string> = {}, cwd = root): Surroundings => ({
  env,
  cwd,
  platform: "linux",
  userHome: join(root, "person"),
  account: "1000@laptop",
});

const load = (
  flags: SettingFlags = {},
  env: Record<string, string> = {},
  options: { cwd?: string; interactive?: boolean } = {},
): Promise<Settings> =>
  loadSettings(
    { flags, around: around(env, options.cwd), interactive: options.interactive ?? false },
    { servicesSchema },
  );

async function writeConfig(text: string, dir = root): Promise<void> {
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, "countersign.yaml"), text, { mode: 0o600 });
}

async function fault(work: Promise<unknown>): Promise<CountersignError> {
  const error: unknown = await work.then(
    () => new Error("it was accepted"),
    (thrown: unknown) => thrown,
  );
  if (error instanceof CountersignError) return error;
  throw error;
}

const errorsOf = (error: CountersignError): readonly string[] => error.details["errors"] as readonly string[];

describe("which home", () => {
  test("a flag wins over the environment, over the nearest file, over the state directory", async () => {
    await writeConfig("version: 1\n");
    const cwd = join(root, "a", "b");
    await mkdir(cwd, { recursive: true });
    const person = { cwd, interactive: true };
    expect((await load({ home: "x" }, { COUNTERSIGN_HOME: "/env" }, person)).home).toBe(join(cwd, "x"));
    expect((await load({}, { COUNTERSIGN_HOME: "/env" }, person)).home).toBe("/env");
    expect((await load({}, {}, person)).home).toBe(root);
    expect((await load({}, { XDG_STATE_HOME: "/state" }, { cwd: "/", interactive: true })).home).toBe(
      "/state/countersign",
    );
  });

  test("a gateway spawned by a host never takes a planted countersign.yaml for its own", async () => {
    await writeConfig("version: 1\n");
    expect((await load({}, {}, { interactive: false })).home).toBe(
      join(root, "person/.local/state/countersign"),
    );
  });

  test("an empty COUNTERSIGN_HOME counts as not set; a relative one is refused with both ways to set it", async () => {
    expect((await load({}, { COUNTERSIGN_HOME: "" })).home).toBe(
      join(root, "person/.local/state/countersign"),
    );
    const error = await fault(load({}, { COUNTERSIGN_HOME: "here" }));
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.hint).toContain("COUNTERSIGN_HOME");
    expect(error.hint).toContain("--home");
  });

  test("the state directory follows each system's habit, and ignores a relative XDG path", () => {
    const on = (platform: NodeJS.Platform, env: Record<string, string>): string =>
      stateDirectory({
        ...around(env),
        platform,
        userHome: platform === "win32" ? "C:\\Users\\ana" : "/home/ana",
      });
    expect(on("linux", {})).toBe("/home/ana/.local/state/countersign");
    expect(on("linux", { XDG_STATE_HOME: "rel" })).toBe("/home/ana/.local/state/countersign");
    expect(on("linux", { XDG_STATE_HOME: "/s" })).toBe("/s/countersign");
    expect(on("darwin", {})).toBe("/home/ana/Library/Application Support/countersign");
    expect(on("win32", {})).toBe("C:\\Users\\ana\\AppData\\Local\\countersign");
    expect(on("win32", { LOCALAPPDATA: "D:\\L" })).toBe("D:\\L\\countersign");
  });

  test("a home that is not there is said with where it was looked for and every way to name one", async () => {
    const settings = await load({ home: "nowhere" });
    const error = await fault(demandHome(settings, "flag"));
    expect(error.code).toBe("HOME_NOT_FOUND");
    expect(error.message).toBe(`no countersign home at ${join(root, "nowhere")} (named by --home)`);
    expect(error.hint).toBe(
      "point at one with --home DIR or COUNTERSIGN_HOME, or make one: countersign init",
    );
    await mkdir(join(root, "nowhere", "data"), { recursive: true });
    expect(await demandHome(settings, "flag")).toBe(settings);
    expect((await locateHome(undefined, around({}), false)).origin).toBe("state");
  });
});

describe("what the file says", () => {
  test("a home without a file has the defaults, all paths absolute", async () => {
    expect(await load({ home: "h" })).toEqual({
      home: join(root, "h"),
      dataDir: join(root, "h/data"),
      configFile: null,
      policyFile: join(root, "h/policy.yaml"),
      isolation: "none",
      services: {},
      listeners: { mcp: { host: "127.0.0.1", port: 7331 }, api: { host: "localhost", port: 7332 } },
      stdio: { agent: null, principal: null },
      clients: [],
      api: { tokens: [], hosts: [] },
      hold: { ms: 40_000, clients: { "claude-code": 240_000 }, rounds: 9, showPage: false },
      passkeys: DEFAULT_PASSKEYS,
      sessions: DEFAULT_SESSIONS,
      oidc: null,
      oauth: null,
      limits: DEFAULT_LIMITS,
      retention: { recordsMs: 400 * 86_400_000 },
      logLevel: "info",
    });
  });

  test("every key is read, and relative paths are relative to the file", async () => {
    await writeConfig(
      `version: 1
policy: rules/policy.yaml
isolation: service
services:
  web: { environment: prod, repository: /srv/web.git }
listeners: { mcp: "[::1]:9001", api: localhost:9002 }
stdio: { agent: claude-desktop, principal: ana }
clients:
  - { name: ci, token_sha256: ${"a".repeat(64)}, agent: ci-agent, principal: svc-ci, effects: [read, write], expires: "2027-01-31" }
api:
  tokens:
    - { name: jenkins, token_sha256: ${"c".repeat(64)}, scopes: [requests:write], principal: ci, agent: bot, expires: "2027-01-31" }
    - { name: wall, token_sha256: ${"d".repeat(64)}, scopes: [requests:read, log:read] }
  hosts: [countersign.example.com, "10.0.0.5:7332"]
hold: { default: 1m30s, clients: { some-client: 5m }, rounds: 3, show_page: true }
passkeys: { cooling: none, invitation: 1h, deny_aaguids: [], rp_id: example.com, origins: [https://gate.example.com] }
sessions: { idle: 10m, absolute: 1h }
oidc: { issuer: https://idp.example.com, client_id: gate, client_secret_file: keys/oidc, require_groups: [ops] }
oauth:
  resource: https://gate.example.com/mcp
  issuers:
    - { issuer: https://idp.example.com/realms/acme }
    - issuer: http://127.0.0.1:9000
      jwks_uri: http://127.0.0.1:9000/keys
      audience: [countersign, api://gate]
      algorithms: [ES256]
      plain_jwt: true
      subject_claim: oid
      client_claim: appid
      scope_claim: roles
  scopes: { read: mcp }
  ask_for: [read]
  clock_skew: 10s
  max_token_age: 1h
limits: { held_per_minute: 5, blobs_per_day: 2MiB, preview_timeout: 10s }
retention: { records: 1d }
log_level: debug
`,
      join(root, "h"),
    );
    expect(await load({ home: join(root, "h") })).toEqual({
      home: join(root, "h"),
      dataDir: join(root, "h/data"),
      configFile: join(root, "h/countersign.yaml"),
      policyFile: join(root, "h/rules/policy.yaml"),
      isolation: "service",
      services: { web: { environment: "prod", repository: "/srv/web.git" } },
      listeners: { mcp: { host: "::1", port: 9001 }, api: { host: "localhost", port: 9002 } },
      stdio: { agent: "claude-desktop", principal: "ana" },
      clients: [
        {
          name: "ci",
          tokenSha256: "a".repeat(64),
          agent: "ci-agent",
          principal: "svc-ci",
          effects: ["read", "write"],
          expiresAt: Date.UTC(2027, 0, 31),
        },
      ],
      api: {
        tokens: [
          {
            name: "jenkins",
            tokenSha256: "c".repeat(64),
            scopes: ["requests:write"],
            acts: { principal: "ci", agent: "bot" },
            expiresAt: Date.UTC(2027, 0, 31),
          },
          {
            name: "wall",
            tokenSha256: "d".repeat(64),
            scopes: ["requests:read", "log:read"],
            acts: null,
            expiresAt: null,
          },
        ],
        hosts: ["countersign.example.com", "10.0.0.5:7332"],
      },
      hold: { ms: 90_000, clients: { "some-client": 300_000 }, rounds: 3, showPage: true },
      passkeys: {
        coolingMs: 0,
        invitationMs: 3_600_000,
        denyAaguids: [],
        rpId: "example.com",
        origins: ["https://gate.example.com"],
      },
      sessions: { idleMs: 600_000, absoluteMs: 3_600_000 },
      oidc: {
        issuer: "https://idp.example.com",
        clientId: "gate",
        clientSecretFile: join(root, "h/keys/oidc"),
        scopes: [],
        maxAgeMs: 300_000,
        groupsClaim: "groups",
        requireGroups: ["ops"],
      },
      oauth: {
        resource: "https://gate.example.com/mcp",
        issuers: [
          {
            issuer: "https://idp.example.com/realms/acme",
            jwksUri: null,
            audience: ["https://gate.example.com/mcp"],
            algorithms: ["RS256", "PS256", "ES256", "EdDSA", "Ed25519"],
            acceptsPlainJwt: false,
            subjectClaim: "sub",
            clientClaim: null,
            scopeClaim: null,
          },
          {
            issuer: "http://127.0.0.1:9000",
            jwksUri: "http://127.0.0.1:9000/keys",
            audience: ["countersign", "api://gate"],
            algorithms: ["ES256"],
            acceptsPlainJwt: true,
            subjectClaim: "oid",
            clientClaim: "appid",
            scopeClaim: "roles",
          },
        ],
        scopes: {
          read: "mcp",
          write: "countersign:write",
          destructive: "countersign:destructive",
          privilege: "countersign:privilege",
        },
        askFor: ["read"],
        clockSkewMs: 10_000,
        maxTokenAgeMs: 3_600_000,
      },
      limits: {
        ...DEFAULT_LIMITS,
        heldPerMinute: 5,
        blobBytesPerDay: 2 * 1024 * 1024,
        previewTimeoutMs: 10_000,
      },
      retention: { recordsMs: 86_400_000 },
      logLevel: "debug",
    });
  });

  test("a flag wins over the environment, and that over the file", async () => {
    await writeConfig("version: 1\nhold: 10s\nstdio: { agent: from-file }\n");
    const home = root;
    expect((await load({ home })).stdio.agent).toBe("from-file");
    expect((await load({ home }, { COUNTERSIGN_AGENT: "from-env" })).stdio.agent).toBe("from-env");
    expect((await load({ home, agent: "from-flag" }, { COUNTERSIGN_AGENT: "from-env" })).stdio.agent).toBe(
      "from-flag",
    );
    expect((await load({ home }, { COUNTERSIGN_HOLD: "20s" })).hold.ms).toBe(20_000);
    expect((await load({ home, hold: "30s" }, { COUNTERSIGN_HOLD: "20s" })).hold.ms).toBe(30_000);
    expect((await load({ home, mcp: "127.0.0.1:0", api: "127.0.0.1:0" })).listeners.api.port).toBe(0);
  });

  test("what was proven of a client stands only where nobody says how long to hold", async () => {
    const home = root;
    await writeConfig("version: 1\nhold: { rounds: 0 }\n");
    expect((await load({ home })).hold).toMatchObject({ clients: { "claude-code": 240_000 }, rounds: 0 });
    await writeConfig("version: 1\nhold: 10s\n");
    expect((await load({ home })).hold).toMatchObject({ ms: 10_000, clients: {}, rounds: 9 });
    await writeConfig("version: 1\nhold: { clients: { claude-code: 5s, other: 6s } }\n");
    expect((await load({ home })).hold).toMatchObject({
      ms: 40_000,
      clients: { "claude-code": 5_000, other: 6_000 },
    });
    expect((await load({ home, hold: "7s" })).hold).toMatchObject({ ms: 7_000, clients: {} });
  });

  test("records are kept for ever where the file says so", async () => {
    await writeConfig("version: 1\nretention: { records: forever }\n");
    expect((await load({ home: root })).retention.recordsMs).toBeNull();
  });

  test("isolation is said by the operator's file alone: no host can claim it by flag or environment", async () => {
    expect((await load({ home: root }, { COUNTERSIGN_ISOLATION: "service" })).isolation).toBe("none");
  });
});

describe("what is refused", () => {
  test.each<[string, string, readonly string[]]>([
    [
      "a relying party whose pages nobody named",
      "version: 1\npasskeys: { rp_id: gate.example.com }\n",
      ["countersign.yaml:2:20 passkeys.rp_id: needs origins: the addresses of the pages behind it"],
    ],
    [
      "pages that can't use the relying party",
      "version: 1\npasskeys: { origins: [https://gate.example.com] }\n",
      ["countersign.yaml:2:23 passkeys.origins[0]: is not of the relying party localhost"],
    ],
    [
      "an identity provider without TLS on another machine",
      "version: 1\noidc: { issuer: http://idp.example.com, client_id: x }\n",
      ["countersign.yaml:2:17 oidc.issuer: expected https://, or http:// on this machine"],
    ],
    [
      "an issuer of access tokens without TLS on another machine, twice, with keys over http, and a shared secret",
      `version: 1
oauth:
  resource: https://gate.example.com/mcp?x=1
  issuers:
    - { issuer: http://idp.example.com }
    - { issuer: https://idp.example.com, algorithms: [HS256] }
`,
      [
        "countersign.yaml:3:13 oauth.resource: expected a URL without a query, a fragment or a user",
        "countersign.yaml:5:17 oauth.issuers[0].issuer: expected https://, or http:// on this machine",
        'countersign.yaml:6:55 oauth.issuers[1].algorithms[0]: expected RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA or Ed25519; got "HS256"; did you mean RS256?',
      ],
    ],
    [
      "an issuer of access tokens twice, and its keys over http",
      `version: 1
oauth:
  resource: https://gate.example.com/mcp
  issuers:
    - { issuer: https://idp.example.com }
    - { issuer: https://idp.example.com, jwks_uri: http://localhost/keys }
`,
      [
        "countersign.yaml:6:17 oauth.issuers[1].issuer: this issuer stands here already",
        "countersign.yaml:6:52 oauth.issuers[1].jwks_uri: the keys of an https issuer come over https",
      ],
    ],
    [
      "an unknown key, with what was meant",
      "version: 1\nlisteners:\n  mpc: 127.0.0.1:1\n",
      ["countersign.yaml:3:3 listeners.mpc: unknown key; did you mean mcp?"],
    ],
    ["a missing version", "policy: p.yaml\n", ["countersign.yaml:1:1 version: missing; expected 1"]],
    [
      "a retention that is none",
      "version: 1\nretention: { records: 5m }\n",
      [
        "countersign.yaml:2:23 retention.records: expected a duration of at least 1d, such as 400d, or forever",
      ],
    ],
    [
      "several mistakes at once, in the order of the file",
      "version: 1\nhold: soon\nlog_level: loud\nlimits: { open_requests: 0 }\n",
      [
        "countersign.yaml:2:7 hold: expected a duration such as 40s, 30m or 1h30m",
        'countersign.yaml:3:12 log_level: expected fatal, error, warn, info, debug, trace or silent; got "loud"',
        "countersign.yaml:4:26 limits.open_requests: expected at least 1, got 0",
      ],
    ],
    [
      "more rounds than clients go, and a page that is no yes or no",
      "version: 1\nhold: { rounds: 10, show_page: often, clients: { x: never } }\n",
      [
        "countersign.yaml:2:17 hold.rounds: expected at most 9, got 10",
        'countersign.yaml:2:32 hold.show_page: expected true or false, got "often"',
        "countersign.yaml:2:53 hold.clients.x: expected a duration such as 40s, 30m or 1h30m",
      ],
    ],
    [
      "a token where its hash belongs, without repeating it",
      "version: 1\nclients:\n  - { name: ci, token_sha256: cs_secret, agent: a, principal: p }\n",
      [
        "countersign.yaml:3:31 clients[0].token_sha256: expected the token's SHA-256 as 64 lower-case hex digits, never the token itself",
      ],
    ],
    [
      "one port for agents and people",
      "version: 1\nlisteners: { mcp: 127.0.0.1:7331, api: localhost:7331 }\n",
      ["countersign.yaml:2:40 listeners.api: agents and people must not share a port (P1)"],
    ],
    [
      "a token of the API instead of its digest",
      "version: 1\napi:\n  tokens:\n    - { name: a, token_sha256: csa_secret, scopes: [log:read] }\n",
      [
        "countersign.yaml:4:32 api.tokens[0].token_sha256: expected the token's SHA-256 as 64 lower-case hex digits, never the token itself",
      ],
    ],
    [
      "a token that asks for nobody (C1)",
      `version: 1\napi:\n  tokens:\n    - { name: a, token_sha256: ${"b".repeat(64)}, scopes: [requests:write] }\n`,
      [
        "countersign.yaml:4:106 api.tokens[0].scopes: requests:write needs principal and agent: a request is somebody's (C1)",
      ],
    ],
    [
      "a token that asks and reads previews before the grant (P4)",
      `version: 1\napi:\n  tokens:\n    - { name: a, token_sha256: ${"b".repeat(64)}, scopes: [requests:read, requests:write], principal: ci, agent: bot }\n`,
      [
        "countersign.yaml:4:106 api.tokens[0].scopes: a token that asks (requests:write) has neither requests:read nor log:read: both show previews before the grant (P4); make a second token",
      ],
    ],
    [
      "an agent's token on the people's listener (P1)",
      `version: 1\nclients:\n  - { name: a, token_sha256: ${"b".repeat(64)}, agent: a, principal: p }\napi:\n  tokens:\n    - { name: a, token_sha256: ${"b".repeat(64)}, scopes: [log:read] }\n`,
      [
        "countersign.yaml:6:32 api.tokens[0].token_sha256: a client has this token already; what agents call with never opens the API (P1)",
      ],
    ],
    [
      "one token for two clients",
      `version: 1\nclients:\n  - { name: a, token_sha256: ${"b".repeat(64)}, agent: a, principal: p }\n  - { name: b, token_sha256: ${"b".repeat(64)}, agent: a, principal: p }\n`,
      ["countersign.yaml:4:30 clients[1].token_sha256: clients[0] has this token already"],
    ],
    [
      "a service that its own schema refuses",
      "version: 1\nservices:\n  web: { environment: prod }\n",
      ["countersign.yaml:3:8 services.web.repository: missing; expected text"],
    ],
    [
      "an address that is none",
      "version: 1\nlisteners: { mcp: 7331 }\n",
      ["countersign.yaml:2:19 listeners.mcp: expected text, got 7331"],
    ],
    [
      "a key twice",
      "version: 1\nhold: 1s\nhold: 2s\n",
      ["countersign.yaml:3:1 the same key twice in one mapping"],
    ],
  ])("%s", async (_what, text, expected) => {
    await writeConfig(text);
    const error = await fault(load({ home: root }));
    expect(error.code).toBe("CONFIG_INVALID");
    expect(errorsOf(error)).toEqual(expected);
    expect(error.message).toBe(expected[0]);
  });

  test("a bad flag or variable is named, with the other ways to set it", async () => {
    const byFlag = await fault(load({ home: root, mcp: "7331" }));
    expect(byFlag.message).toBe('--mcp: expected host:port, such as 127.0.0.1:7331, got "7331"');
    expect(byFlag.hint).toBe("set it by --mcp, by COUNTERSIGN_MCP, or in countersign.yaml");
    const byEnv = await fault(load({ home: root }, { COUNTERSIGN_HOLD: "soon" }));
    expect(byEnv.message).toBe('COUNTERSIGN_HOLD: expected a duration such as 40s, got "soon"');
    const clash = await fault(load({ home: root, api: "127.0.0.1:7331" }));
    expect(clash.message).toContain("share port 7331");
  });

  test("a file that every account can write is refused: whoever writes it decides what runs", async () => {
    await writeConfig("version: 1\n");
    await chmod(join(root, "countersign.yaml"), 0o666);
    const error = await fault(load({ home: root }));
    expect(error.code).toBe("HOME_INSECURE");
    expect(error.hint).toBe(`chmod o-w ${join(root, "countersign.yaml")}`);
    await chmod(join(root, "countersign.yaml"), 0o644);
    await chmod(root, 0o777);
    expect((await fault(load({ home: root }))).code).toBe("HOME_INSECURE");
  });
});

test("programs we start see nothing of our own environment but what they need", () => {
  const env = programEnv(
    around({ PATH: "/bin", AWS_SECRET_ACCESS_KEY: "x", LC_ALL: "C", LD_PRELOAD: "/evil.so" }),
  );
  expect(env).toEqual({ PATH: "/bin", LC_ALL: "C" });
});
