import fc from "fast-check";
import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { isOriginOf, isUsableKey, verifyAssertion, type WebauthnAssertion } from "../../src/base/webauthn.ts";
import { createSoftPasskey, type AssertionWishes, type SoftPasskey } from "../support/soft-passkey.ts";

const ORIGINS = ["http://localhost:7332"];
const challenge = randomBytes(32);
const passkey = createSoftPasskey();

const check = (
  assertion: WebauthnAssertion,
  more: Partial<Parameters<typeof verifyAssertion>[0]> = {},
  by: SoftPasskey = passkey,
) => verifyAssertion({ assertion, key: by, challenge, rpId: "localhost", origins: ORIGINS, ...more });

const codeFor = (wishes: AssertionWishes): string => {
  const checked = check(passkey.answer(challenge, wishes));
  return checked.ok ? "ok" : checked.error.code;
};

describe("an assertion", () => {
  test.each(["ES256", "EdDSA", "RS256"] as const)("of a %s key verifies over its challenge", (kind) => {
    const key = createSoftPasskey(kind);
    expect(check(key.answer(challenge), {}, key)).toMatchObject({
      ok: true,
      value: { userPresent: true, userVerified: true, counter: 1, origin: ORIGINS[0] },
    });
    expect(check(key.answer(randomBytes(32)), {}, key)).toMatchObject({ error: { code: "wrong_challenge" } });
    expect(check(key.answer(challenge), {}, passkey).ok).toBe(false);
  });

  test("agrees with plain openssl, given authenticator data and the hash of the client data", () => {
    const dir = mkdtempSync(join(tmpdir(), "countersign-openssl-"));
    try {
      const { authenticatorData, clientData, signature } = passkey.answer(challenge);
      const clientHash = createHash("sha256").update(Buffer.from(clientData, "base64url")).digest();
      const file = (name: string, bytes: string | Uint8Array): string => {
        writeFileSync(join(dir, name), bytes);
        return join(dir, name);
      };
      const pem = `-----BEGIN PUBLIC KEY-----\n${passkey.publicKey}\n-----END PUBLIC KEY-----\n`;
      const args = [
        "dgst",
        "-sha256",
        "-verify",
        file("key.pem", pem),
        "-signature",
        file("sig", Buffer.from(signature, "base64url")),
        file("signed", Buffer.concat([Buffer.from(authenticatorData, "base64url"), clientHash])),
      ];
      expect(execFileSync("openssl", args, { encoding: "utf8" })).toBe("Verified OK\n");
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });

  test("of another type, origin, relying party or frame is refused, each by its name", () => {
    expect(codeFor({ type: "webauthn.create" })).toBe("wrong_type");
    expect(codeFor({ origin: "http://localhost:9999" })).toBe("wrong_origin");
    expect(codeFor({ origin: "https://localhost.evil.example" })).toBe("wrong_origin");
    expect(codeFor({ rpId: "example.com" })).toBe("wrong_rp");
    expect(codeFor({ crossOrigin: true })).toBe("cross_origin");
    expect(codeFor({ client: { topOrigin: "https://evil.example" } })).toBe("cross_origin");
    expect(codeFor({ client: { crossOrigin: "no" } })).toBe("malformed");
  });

  test("says whether the person was there and verified, and does not decide (W3)", () => {
    expect(check(passkey.answer(challenge, { flags: 0x01 }))).toMatchObject({
      value: { userPresent: true, userVerified: false },
    });
    expect(check(passkey.answer(challenge, { flags: 0x1d, counter: 0 }))).toMatchObject({
      value: { backupEligible: true, backedUp: true, counter: 0 },
    });
  });

  test("with a tail, an attested credential, or a backup that is not eligible is malformed (W4)", () => {
    expect(codeFor({ tail: Buffer.from([0]) })).toBe("malformed");
    expect(codeFor({ flags: 0x85 })).toBe("malformed");
    expect(codeFor({ flags: 0x85, tail: Buffer.from([0xa0]) })).toBe("ok");
    expect(codeFor({ flags: 0x45 })).toBe("malformed");
    expect(codeFor({ flags: 0x15 })).toBe("malformed");
  });

  test("verifies over any origin of the relying party where no list is given, as offline (W2)", () => {
    const far = createSoftPasskey("ES256", { rpId: "example.com", origin: "https://gate.example.com" });
    const parts = { rpId: "example.com", origins: null };
    expect(check(far.answer(challenge), parts, far).ok).toBe(true);
    expect(check(far.answer(challenge, { origin: "http://gate.example.com" }), parts, far).ok).toBe(false);
    expect(isOriginOf("https://notexample.com", "example.com")).toBe(false);
    expect(isOriginOf("http://countersign.localhost:1", "localhost")).toBe(true);
    expect(isOriginOf("https://example.com/path", "example.com")).toBe(false);
    expect(isOriginOf("https://user@example.com", "example.com")).toBe(false);
  });

  test("is refused for a change of any single bit of any field", () => {
    const assertion = passkey.answer(challenge);
    const fields = ["authenticatorData", "clientData", "signature"] as const;
    fc.assert(
      fc.property(fc.constantFrom(...fields), fc.nat(), (field, at) => {
        const bytes = Buffer.from(assertion[field], "base64url");
        const bit = at % (bytes.length * 8);
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(check({ ...assertion, [field]: bytes.toString("base64url") }).ok).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  test("is refused for a second spelling of the same bytes (W4)", () => {
    const assertion = passkey.answer(challenge);
    for (const field of ["authenticatorData", "clientData", "signature"] as const) {
      expect(check({ ...assertion, [field]: `${assertion[field]}=` }).ok).toBe(false);
      expect(check({ ...assertion, [field]: ` ${assertion[field]}` }).ok).toBe(false);
    }
  });

  test("never throws, whatever comes", () => {
    const any = fc.oneof(
      fc.string(),
      fc.base64String(),
      fc.uint8Array().map((b) => Buffer.from(b).toString("base64url")),
    );
    fc.assert(
      fc.property(any, any, any, (authenticatorData, clientData, signature) => {
        expect(check({ authenticatorData, clientData, signature }).ok).toBe(false);
      }),
    );
  });
});

describe("a key", () => {
  const spki = (key: { export(o: { format: "der"; type: "spki" }): Buffer }): string =>
    key.export({ format: "der", type: "spki" }).toString("base64");

  test("is usable only under its own algorithm, and only as P-256, Ed25519 or RSA of 2048 bits (W5)", () => {
    expect(isUsableKey(passkey)).toBe(true);
    expect(isUsableKey({ ...passkey, algorithm: -257 })).toBe(false);
    expect(isUsableKey({ ...passkey, publicKey: `${passkey.publicKey}\n` })).toBe(false);
    expect(isUsableKey({ publicKey: "", algorithm: -7 })).toBe(false);
    const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey;
    expect(isUsableKey({ publicKey: spki(p384), algorithm: -7 })).toBe(false);
    const short = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey;
    expect(isUsableKey({ publicKey: spki(short), algorithm: -257 })).toBe(false);
  });
});
