import { createHash, createPublicKey, type KeyObject } from "node:crypto";
import { createWireReader, WireError } from "./ssh-wire.ts";

// Public keys as SSH writes them (RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4, OpenSSH PROTOCOL.u2f).

/** Key types that may sign decisions. */
export const SSH_KEY_TYPES = [
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "ssh-rsa",
  "sk-ssh-ed25519@openssh.com",
  "sk-ecdsa-sha2-nistp256@openssh.com",
] as const;
export type SshKeyType = (typeof SSH_KEY_TYPES)[number];

export interface SshPublicKey {
  readonly type: SshKeyType;
  /** The wire form, as it is hashed and compared. */
  readonly blob: Buffer;
  /** `SHA256:` and 43 characters of unpadded base64, as `ssh-keygen -l` prints it. */
  readonly fingerprint: string;
  readonly key: KeyObject;
  /** The application of an `sk-` key, else null. */
  readonly application: string | null;
}

export const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 16_384;
/** The only application whose signatures are meant for SSH. */
const SK_APPLICATION = "ssh:";

const CURVES = {
  nistp256: { jwk: "P-256", bytes: 32 },
  nistp384: { jwk: "P-384", bytes: 48 },
  nistp521: { jwk: "P-521", bytes: 66 },
} as const;
type CurveName = keyof typeof CURVES;

export const sshFingerprint = (blob: Uint8Array): string =>
  `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;

/**
 * Parses a public key blob.
 * @throws WireError where it is malformed, of another type, or too weak.
 */
export function parseSshKeyBlob(blob: Buffer): SshPublicKey {
  const reader = createWireReader(blob);
  const type = reader.text();
  let key: KeyObject;
  let application: string | null = null;
  switch (type) {
    case "ssh-ed25519":
    case "sk-ssh-ed25519@openssh.com": {
      const x = reader.bytes();
      if (x.length !== 32) throw new WireError("an Ed25519 key has 32 bytes");
      key = fromJwk({ kty: "OKP", crv: "Ed25519", x: x.toString("base64url") });
      break;
    }
    case "ecdsa-sha2-nistp256":
    case "ecdsa-sha2-nistp384":
    case "ecdsa-sha2-nistp521":
    case "sk-ecdsa-sha2-nistp256@openssh.com": {
      const name = /nistp\d+/.exec(type)?.[0] as CurveName;
      if (reader.text() !== name) throw new WireError("the curve is not the one of the key type");
      const { jwk, bytes } = CURVES[name];
      const point = reader.bytes();
      if (point.length !== 1 + 2 * bytes || point[0] !== 4)
        throw new WireError("a point is uncompressed, on its curve");
      key = fromJwk({
        kty: "EC",
        crv: jwk,
        x: point.toString("base64url", 1, 1 + bytes),
        y: point.toString("base64url", 1 + bytes),
      });
      break;
    }
    case "ssh-rsa": {
      const e = reader.positive();
      const n = reader.positive();
      const bits = n.length * 8 - Math.clz32(n[0] as number) + 24;
      if (bits < MIN_RSA_BITS) throw new WireError(`an RSA key of ${bits} bits is too short`);
      if (bits > MAX_RSA_BITS || e.length > 8) throw new WireError("an RSA key is out of bounds");
      key = fromJwk({ kty: "RSA", n: n.toString("base64url"), e: e.toString("base64url") });
      break;
    }
    default:
      throw new WireError(`keys of type "${type}" are not accepted`);
  }
  if (type.startsWith("sk-")) {
    application = reader.text();
    if (application !== SK_APPLICATION)
      throw new WireError(`the key belongs to "${application}", not to "ssh:"`);
  }
  reader.done();
  return { type, blob, fingerprint: sshFingerprint(blob), key, application };
}

function fromJwk(jwk: Record<string, string>): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: "jwk" });
  } catch (cause) {
    throw new WireError("the key is not a point or number of its kind", { cause });
  }
}

/**
 * A line of a `.pub` file or of `authorized_keys` without options: type, base64, comment.
 * @throws WireError where it is none.
 */
export function parseSshPublicKeyLine(line: string): SshPublicKey & { readonly comment: string } {
  const [, type, encoded, comment] = /^([!-~]+) ([A-Za-z0-9+/]+={0,2})(?: (.*))?$/.exec(line.trim()) ?? [];
  if (type === undefined || encoded === undefined)
    throw new WireError("expected a type, base64 and a comment");
  const blob = Buffer.from(encoded, "base64");
  if (blob.toString("base64") !== encoded) throw new WireError("the key is not base64");
  const parsed = parseSshKeyBlob(blob);
  if (parsed.type !== type) throw new WireError(`the line says ${type}, the key ${parsed.type}`);
  return { ...parsed, comment: comment ?? "" };
}
