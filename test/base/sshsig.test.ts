import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { parseSshPublicKeyLine } from "../../src/base/ssh-key.ts";
import { WireError, wireString } from "../../src/base/ssh-wire.ts";
import { verifySshSignature, type SshSignature } from "../../src/base/sshsig.ts";
import {
  armour,
  createKeyDirectory,
  createSoftwareSecurityKey,
  missingSshKeygen,
  mpint,
  signedData,
  sshsigBlob,
  unarmour,
} from "../support/ssh-signing.ts";

const NAMESPACE = "decision@countersign.dev";
const message = Buffer.from("countersign.decision.v1\n{}");

const check = (
  armoured: string,
  over: Uint8Array = message,
  namespace = NAMESPACE,
): string | SshSignature => {
  const result = verifySshSignature({ armoured, message: over, namespace });
  return result.ok ? result.value : result.error.code;
};

const missing = missingSshKeygen(process.env["COUNTERSIGN_TARGETS"]);

describe.skipIf(missing !== null)(missing ?? "with ssh-keygen", () => {
  const keys = missing === null ? createKeyDirectory() : null;
  afterAll(() => keys?.remove());

  const kinds: [string, number | undefined, string][] = [
    ["ed25519", undefined, "ssh-ed25519"],
    ["ecdsa", 256, "ecdsa-sha2-nistp256"],
    ["ecdsa", 384, "ecdsa-sha2-nistp384"],
    ["ecdsa", 521, "ecdsa-sha2-nistp521"],
    ["rsa", 2048, "ssh-rsa"],
    ["rsa", 3072, "ssh-rsa"],
  ];

  test.each(kinds)(
    "a signature by ssh-keygen verifies, and only over its message and namespace: %s %s",
    (type, bits, keyType) => {
      const key = keys!.make(type, bits);
      const known = parseSshPublicKeyLine(key.publicLine);
      for (const options of [[], ["-O", "hashalg=sha256"]]) {
        const armoured = key.sign(message, NAMESPACE, options);
        expect(check(armoured)).toEqual({
          fingerprint: known.fingerprint,
          keyType,
          publicKeyBlob: known.blob,
          sk: null,
        });
        expect(known.comment).toBe("test");
        expect(check(armoured, Buffer.from("other"))).toBe("bad_signature");
        expect(check(armoured, message, "git")).toBe("wrong_namespace");
      }
      expect(check(key.sign(message, "git"))).toBe("wrong_namespace");
    },
  );

  test.each(kinds)("any changed byte of a signature by ssh-keygen breaks it: %s %s", (type, bits) => {
    const blob = unarmour(keys!.make(type, bits).sign(message, NAMESPACE));
    for (let at = 0; at < blob.length; at += 1) {
      const changed = Buffer.from(blob);
      changed[at] = (changed[at] as number) ^ (1 << (at % 8));
      expect(typeof check(armour(changed)), `byte ${at} of ${blob.length}`).toBe("string");
    }
  });

  test("ECDSA signatures verify whatever the size of their two numbers", () => {
    const key = keys!.make("ecdsa", 256);
    for (let i = 0; i < 40; i += 1) {
      const over = Buffer.from(`message ${i}`);
      expect(typeof check(key.sign(over, NAMESPACE), over)).toBe("object");
    }
  });

  test("ssh-keygen and we agree on good and bad signatures, except that it takes an sk- signature with flags 0", () => {
    const key = keys!.make("ed25519");
    const sk = createSoftwareSecurityKey();
    const cases = [
      { publicLine: key.publicLine, armoured: key.sign(message, NAMESPACE), over: message },
      { publicLine: key.publicLine, armoured: key.sign(message, NAMESPACE), over: Buffer.from("x") },
      { publicLine: key.publicLine, armoured: key.sign(message, "git"), over: message },
      { publicLine: sk.publicLine, armoured: sk.sign(message, NAMESPACE, { flags: 5 }), over: message },
      {
        publicLine: sk.publicLine,
        armoured: sk.sign(message, NAMESPACE, { flags: 5 }),
        over: Buffer.from("x"),
      },
      { publicLine: sk.publicLine, armoured: sk.sign(message, NAMESPACE, { flags: 0 }), over: message },
    ];
    const agreed = cases.map(({ publicLine, armoured, over }) => {
      const theirs = keys!.verify({ publicLine, message: over, namespace: NAMESPACE, armoured });
      const ours = typeof check(armoured, over) === "object";
      expect(ours).toBe(theirs);
      return ours;
    });
    expect(agreed).toEqual([true, false, false, true, false, true]);
    const flagless = check(cases[5]!.armoured) as SshSignature;
    expect(flagless.sk).toMatchObject({ flags: 0, userPresent: false, userVerified: false });
  });

  test("fingerprints are those of ssh-keygen -l", async () => {
    const { execFileSync } = await import("node:child_process");
    const key = keys!.make("ed25519");
    const listed = execFileSync("ssh-keygen", ["-lf", `${key.path}.pub`]).toString();
    expect(listed.split(" ")[1]).toBe(parseSshPublicKeyLine(key.publicLine).fingerprint);
  });
});

describe.each(["ed25519", "ecdsa"] as const)("sk- keys made of software: %s", (kind) => {
  test.each([
    [0, false, false],
    [1, true, false],
    [4, false, true],
    [5, true, true],
  ])("flags %i are given back as they were signed", (flags, userPresent, userVerified) => {
    const key = createSoftwareSecurityKey(kind);
    const result = check(key.sign(message, NAMESPACE, { flags, counter: 4_000_000_000 }));
    expect(result).toMatchObject({ sk: { flags, counter: 4_000_000_000, userPresent, userVerified } });
  });

  test("flags raised after signing break the signature (the flags byte is covered)", () => {
    const key = createSoftwareSecurityKey(kind);
    const blob = unarmour(key.sign(message, NAMESPACE, { flags: 1 }));
    blob[blob.length - 5] = 5;
    expect(check(armour(blob))).toBe("bad_signature");
  });

  test("any changed byte breaks it", () => {
    const blob = unarmour(createSoftwareSecurityKey(kind).sign(message, NAMESPACE, { flags: 5 }));
    fc.assert(
      fc.property(fc.nat(blob.length - 1), fc.integer({ min: 1, max: 255 }), (at, xor) => {
        const changed = Buffer.from(blob);
        changed[at] = (changed[at] as number) ^ xor;
        expect(typeof check(armour(changed))).toBe("string");
      }),
      { numRuns: 1_000 },
    );
  });

  test("a key of another application is refused", () => {
    const key = createSoftwareSecurityKey(kind, "ssh:elsewhere");
    expect(check(key.sign(message, NAMESPACE, { flags: 5 }))).toBe("malformed");
  });
});

const ed25519 = (): { blob: Buffer; privateKey: KeyObject } => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const raw = Buffer.from(publicKey.export({ format: "jwk" }).x as string, "base64url");
  return { privateKey, blob: Buffer.concat([wireString("ssh-ed25519"), wireString(raw)]) };
};

const rsa = (bits: number): { blob: Buffer; privateKey: KeyObject } => {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: bits });
  const { n, e } = publicKey.export({ format: "jwk" });
  const blob = Buffer.concat([
    wireString("ssh-rsa"),
    mpint(Buffer.from(e as string, "base64url")),
    mpint(Buffer.from(n as string, "base64url")),
  ]);
  return { privateKey, blob };
};

const signature = (algorithm: string, raw: Uint8Array): Buffer =>
  Buffer.concat([wireString(algorithm), wireString(raw)]);

test("RSA takes rsa-sha2-256 and rsa-sha2-512 from 2048 bits on, and never SHA-1", () => {
  const strong = rsa(2048);
  const data = signedData(message, NAMESPACE);
  const made = (key: typeof strong, algorithm: string, hash: string): string =>
    armour(sshsigBlob(key.blob, NAMESPACE, signature(algorithm, sign(hash, data, key.privateKey))));
  expect(check(made(strong, "rsa-sha2-256", "sha256"))).toMatchObject({ keyType: "ssh-rsa" });
  expect(check(made(strong, "rsa-sha2-512", "sha512"))).toMatchObject({ keyType: "ssh-rsa" });
  expect(check(made(strong, "ssh-rsa", "sha1"))).toBe("unsupported");
  expect(check(made(strong, "rsa-sha2-256", "sha1"))).toBe("bad_signature");
  expect(check(made(rsa(1024), "rsa-sha2-512", "sha512"))).toBe("malformed");
});

test("a message hash other than sha256 and sha512 is refused", () => {
  const key = ed25519();
  const raw = sign(null, signedData(message, NAMESPACE, "sha1"), key.privateKey);
  expect(check(armour(sshsigBlob(key.blob, NAMESPACE, signature("ssh-ed25519", raw), "sha1")))).toBe(
    "unsupported",
  );
});

test("nothing may follow a signature, a key or the blob, and the reserved field stays empty", () => {
  const key = ed25519();
  const raw = sign(null, signedData(message, NAMESPACE), key.privateKey);
  const good = sshsigBlob(key.blob, NAMESPACE, signature("ssh-ed25519", raw));
  expect(typeof check(armour(good))).toBe("object");
  const junk = Buffer.of(0);
  expect(check(armour(Buffer.concat([good, junk])))).toBe("malformed");
  expect(
    check(armour(sshsigBlob(key.blob, NAMESPACE, Buffer.concat([signature("ssh-ed25519", raw), junk])))),
  ).toBe("malformed");
  expect(
    check(armour(sshsigBlob(Buffer.concat([key.blob, junk]), NAMESPACE, signature("ssh-ed25519", raw)))),
  ).toBe("malformed");
  const data = Buffer.from(
    good.toString("latin1").replace(NAMESPACE + "\0\0\0\0", NAMESPACE + "\0\0\0\x01x"),
    "latin1",
  );
  expect(check(armour(data))).toBe("unsupported");
});

test("the armour has one shape: no other text, no lost or superfluous characters", () => {
  const key = ed25519();
  const blob = sshsigBlob(
    key.blob,
    NAMESPACE,
    signature("ssh-ed25519", sign(null, signedData(message, NAMESPACE), key.privateKey)),
  );
  const good = armour(blob);
  expect(typeof check(good)).toBe("object");
  expect(typeof check(armour(blob, 76))).toBe("object");
  expect(typeof check(good.trimEnd())).toBe("object");
  for (const bad of [
    "",
    ` ${good}`,
    `${good}\n`,
    good.replaceAll("\n", "\r\n"),
    good.replace("SSH SIGNATURE", "PGP SIGNATURE"),
    good.replace("\n", "\n\n"),
    good.replace(/=*\n-----END/, "!\n-----END"),
    armour(blob, 64),
    armour(blob).replace(/(.)\n-----END/, "\n-----END"),
  ]) {
    expect(check(bad), JSON.stringify(bad)).toBe("malformed");
  }
});

test("a signature under another key's type is refused", () => {
  const key = ed25519();
  const raw = sign(null, signedData(message, NAMESPACE), key.privateKey);
  expect(check(armour(sshsigBlob(key.blob, NAMESPACE, signature("ecdsa-sha2-nistp256", raw))))).toBe(
    "malformed",
  );
  const other = Buffer.concat([wireString("ssh-dss"), wireString(raw)]);
  expect(check(armour(sshsigBlob(other, NAMESPACE, signature("ssh-dss", raw))))).toBe("malformed");
});

test("a public key line says one thing only", () => {
  const key = ed25519();
  const line = `ssh-ed25519 ${key.blob.toString("base64")}`;
  expect(parseSshPublicKeyLine(`${line} ana@laptop two`).comment).toBe("ana@laptop two");
  for (const bad of [
    "",
    "ssh-ed25519",
    line.replace("ssh-ed25519", "ssh-rsa"),
    `${line}=`,
    `command="x" ${line}`,
  ]) {
    expect(() => parseSshPublicKeyLine(bad), bad).toThrow(WireError);
  }
});
