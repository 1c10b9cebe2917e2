import { execFileSync } from "node:child_process";
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  type KeyObject,
} from "node:crypto";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sshFingerprint } from "../../src/base/ssh-key.ts";
import { wireString } from "../../src/base/ssh-wire.ts";

// Real SSH signatures for tests: by ssh-keygen with key files, and by a security key made of software, which speaks
// the same format with whatever flags the test wants.

export const hasSshKeygen = ((): boolean => {
  try {
    execFileSync("ssh-keygen", ["-Y", "sign"], { stdio: "ignore" });
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ENOENT";
  }
})();

/** Why tests with ssh-keygen do not run; null where they do. A machine that must have every target fails instead. */
export function missingSshKeygen(targets: string | undefined): string | null {
  if (hasSshKeygen) return null;
  if (targets === "required") throw new Error("ssh-keygen is missing and COUNTERSIGN_TARGETS=required");
  return "ssh-keygen is not installed";
}

export interface KeyFile {
  readonly path: string;
  readonly publicLine: string;
  sign(message: Uint8Array, namespace: string, options?: readonly string[]): string;
}

/** A directory of key files, removed by `remove`. */
export function createKeyDirectory(): {
  readonly path: string;
  make(type: string, bits?: number): KeyFile;
  verify(parts: { publicLine: string; message: Uint8Array; namespace: string; armoured: string }): boolean;
  remove(): void;
} {
  const dir = mkdtempSync(join(tmpdir(), "countersign-ssh-"));
  let made = 0;
  return {
    path: dir,
    make(type, bits) {
      const path = join(dir, `key${made++}`);
      const size = bits === undefined ? [] : ["-b", String(bits)];
      execFileSync("ssh-keygen", ["-q", "-t", type, ...size, "-N", "", "-C", "test", "-f", path]);
      return {
        path,
        publicLine: readFileSync(`${path}.pub`, "utf8").trim(),
        sign: (message, namespace, options = []) =>
          execFileSync("ssh-keygen", ["-Y", "sign", "-q", "-f", path, "-n", namespace, ...options], {
            input: message,
            stdio: ["pipe", "pipe", "ignore"],
          }).toString("latin1"),
      };
    },
    verify({ publicLine, message, namespace, armoured }) {
      const allowed = join(dir, `allowed${made++}`);
      const signature = `${allowed}.sig`;
      writeFileSync(allowed, `ana ${publicLine.split(" ").slice(0, 2).join(" ")}\n`);
      writeFileSync(signature, armoured);
      chmodSync(allowed, 0o600);
      try {
        execFileSync(
          "ssh-keygen",
          ["-Y", "verify", "-f", allowed, "-I", "ana", "-n", namespace, "-s", signature],
          {
            input: message,
            stdio: ["pipe", "ignore", "ignore"],
          },
        );
        return true;
      } catch {
        return false;
      }
    },
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

/** SSH armour as ssh-keygen breaks it. */
export const armour = (blob: Uint8Array, width = 70): string =>
  `-----BEGIN SSH SIGNATURE-----\n${Buffer.from(blob)
    .toString("base64")
    .replace(new RegExp(`(.{${width}})(?=.)`, "g"), "$1\n")}\n-----END SSH SIGNATURE-----\n`;

export const unarmour = (armoured: string): Buffer =>
  Buffer.from(armoured.split("\n").slice(1, -2).join(""), "base64");

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

/** The bytes that an SSHSIG signature covers. */
export const signedData = (message: Uint8Array, namespace: string, hash = "sha512"): Buffer =>
  Buffer.concat([
    Buffer.from("SSHSIG"),
    wireString(namespace),
    wireString(""),
    wireString(hash),
    wireString(createHash(hash).update(message).digest()),
  ]);

/** An SSHSIG blob around a public key and a signature. */
export const sshsigBlob = (
  publicKey: Uint8Array,
  namespace: string,
  signature: Uint8Array,
  hash = "sha512",
): Buffer =>
  Buffer.concat([
    Buffer.from("SSHSIG"),
    Buffer.of(0, 0, 0, 1),
    wireString(publicKey),
    wireString(namespace),
    wireString(""),
    wireString(hash),
    wireString(signature),
  ]);

/** A positive number as SSH writes it. */
export const mpint = (unsigned: Uint8Array): Buffer => {
  let bytes = Buffer.from(unsigned);
  while (bytes.length > 1 && bytes[0] === 0) bytes = bytes.subarray(1);
  return wireString((bytes[0] as number) >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes);
};

const rawPoint = (publicKey: KeyObject): Buffer => {
  const jwk = publicKey.export({ format: "jwk" });
  return Buffer.concat([
    Buffer.of(4),
    Buffer.from(jwk.x as string, "base64url"),
    Buffer.from(jwk.y as string, "base64url"),
  ]);
};

export interface SoftwareKey {
  readonly publicBlob: Buffer;
  readonly publicLine: string;
  readonly fingerprint: string;
  sign(message: Uint8Array, namespace: string): string;
}

/** An ssh-ed25519 key without ssh-keygen; the same seed gives the same key and the same signatures. */
export function createSoftwareKey(seed: Uint8Array = randomBytes(32)): SoftwareKey {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const raw = Buffer.from(createPublicKey(privateKey).export({ format: "jwk" }).x as string, "base64url");
  const publicBlob = Buffer.concat([wireString("ssh-ed25519"), wireString(raw)]);
  return {
    publicBlob,
    publicLine: `ssh-ed25519 ${publicBlob.toString("base64")} soft`,
    fingerprint: sshFingerprint(publicBlob),
    sign: (message, namespace) =>
      armour(
        sshsigBlob(
          publicBlob,
          namespace,
          Buffer.concat([
            wireString("ssh-ed25519"),
            wireString(sign(null, signedData(message, namespace), privateKey)),
          ]),
        ),
      ),
  };
}

export interface SoftwareSecurityKey {
  readonly fingerprint: string;
  readonly publicBlob: Buffer;
  readonly publicLine: string;
  sign(message: Uint8Array, namespace: string, how: { flags: number; counter?: number }): string;
}

/** What a security key does, without one: nothing in the format can tell the difference. */
export function createSoftwareSecurityKey(
  kind: "ed25519" | "ecdsa" = "ed25519",
  application = "ssh:",
): SoftwareSecurityKey {
  const { privateKey, publicKey } =
    kind === "ed25519" ? generateKeyPairSync("ed25519") : generateKeyPairSync("ec", { namedCurve: "P-256" });
  const type = kind === "ed25519" ? "sk-ssh-ed25519@openssh.com" : "sk-ecdsa-sha2-nistp256@openssh.com";
  const key =
    kind === "ed25519"
      ? wireString(Buffer.from(publicKey.export({ format: "jwk" }).x as string, "base64url"))
      : Buffer.concat([wireString("nistp256"), wireString(rawPoint(publicKey))]);
  const publicBlob = Buffer.concat([wireString(type), key, wireString(application)]);
  return {
    publicBlob,
    publicLine: `${type} ${publicBlob.toString("base64")} soft`,
    fingerprint: sshFingerprint(publicBlob),
    sign(message, namespace, { flags, counter = 7 }) {
      const trailer = Buffer.alloc(5);
      trailer.writeUInt8(flags, 0);
      trailer.writeUInt32BE(counter, 1);
      const covered = Buffer.concat([
        sha256(Buffer.from(application)),
        trailer,
        sha256(signedData(message, namespace)),
      ]);
      let signature: Buffer;
      if (kind === "ed25519") signature = wireString(sign(null, covered, privateKey));
      else {
        const pair = sign("sha256", covered, { key: privateKey, dsaEncoding: "ieee-p1363" });
        signature = wireString(Buffer.concat([mpint(pair.subarray(0, 32)), mpint(pair.subarray(32))]));
      }
      return armour(sshsigBlob(publicBlob, namespace, Buffer.concat([wireString(type), signature, trailer])));
    },
  };
}
