import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { wireString } from "./ssh-wire.ts";

// A throwaway Ed25519 key in OpenSSH's forms, made and used without ssh-keygen: the demo has to run on a machine that
// has only Node and git. People's own keys never come here; the command line signs with ssh-keygen.

/** The number 1 as a uint32: one key, version one. */
const ONE = Buffer.of(0, 0, 0, 1);

export interface SshKeyPair {
  /** One line of an authorized_keys file. */
  readonly publicLine: string;
  /** `SHA256:…` as ssh-keygen -l prints it. */
  readonly fingerprint: string;
  /** An unencrypted `openssh-key-v1` file (PROTOCOL.key). */
  readonly privateFile: string;
  /** An armoured SSHSIG over the message (PROTOCOL.sshsig), sha512. */
  sign(message: Uint8Array, namespace: string): string;
}

export function createSshKeyPair(comment: string): SshKeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  // RFC 8410 §4 and §7: the raw key is the last 32 bytes of either DER form.
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const seed = privateKey.export({ format: "der", type: "pkcs8" }).subarray(-32);
  const blob = Buffer.concat([wireString("ssh-ed25519"), wireString(raw)]);
  const armour = (label: string, bytes: Buffer): string =>
    `-----BEGIN ${label}-----\n${(bytes.toString("base64").match(/.{1,70}/g) ?? []).join("\n")}\n-----END ${label}-----\n`;
  return {
    publicLine: `ssh-ed25519 ${blob.toString("base64")} ${comment}`,
    fingerprint: `SHA256:${createHash("sha256").update(blob).digest("base64").replaceAll("=", "")}`,
    privateFile: armour("OPENSSH PRIVATE KEY", privateBlob(blob, raw, seed, comment)),
    sign(message, namespace) {
      const hashed = createHash("sha512").update(message).digest();
      const signed = Buffer.concat([
        Buffer.from("SSHSIG"),
        wireString(namespace),
        wireString(""),
        wireString("sha512"),
        wireString(hashed),
      ]);
      const signature = Buffer.concat([
        wireString("ssh-ed25519"),
        wireString(sign(null, signed, privateKey)),
      ]);
      return armour(
        "SSH SIGNATURE",
        Buffer.concat([
          Buffer.from("SSHSIG"),
          ONE,
          wireString(blob),
          wireString(namespace),
          wireString(""),
          wireString("sha512"),
          wireString(signature),
        ]),
      );
    },
  };
}

function privateBlob(blob: Buffer, raw: Buffer, seed: Buffer, comment: string): Buffer {
  const check = randomBytes(4);
  const secret = Buffer.concat([
    check,
    check,
    wireString("ssh-ed25519"),
    wireString(raw),
    wireString(Buffer.concat([seed, raw])),
    wireString(comment),
  ]);
  const padding = Buffer.from(Array.from({ length: (8 - (secret.length % 8)) % 8 }, (_, i) => i + 1));
  return Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    wireString("none"),
    wireString("none"),
    wireString(""),
    ONE,
    wireString(blob),
    wireString(Buffer.concat([secret, padding])),
  ]);
}
