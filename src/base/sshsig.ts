import { createHash, verify, type VerifyKeyObjectInput, type KeyObject } from "node:crypto";
import { err, ok, type Result } from "./result.ts";
import { parseSshKeyBlob, type SshKeyType, type SshPublicKey } from "./ssh-key.ts";
import { createWireReader, WireError, wireString, type WireReader } from "./ssh-wire.ts";

// SSH signatures over a message (OpenSSH PROTOCOL.sshsig), as `ssh-keygen -Y sign` writes them.
//
//   H1. The namespace must be the caller's: a signature made for git or for a file never verifies here.
//   H2. SHA-1 is refused everywhere; RSA needs 2048 bits and rsa-sha2.
//   H3. Nothing may follow a field that should be the last, and a number has one encoding, so a signature has one form.
//   H4. An `sk-` signature verifies whatever its flags are, in ssh-keygen too: software can make one with no touch.
//       So the flags are given back, and whoever relies on presence or verification must look at them.

/** What an `sk-` key said about the person, covered by its signature. Hardware was not attested. */
export interface SkFacts {
  readonly flags: number;
  readonly counter: number;
  /** UP, bit 0: the key was touched. */
  readonly userPresent: boolean;
  /** UV, bit 2: PIN or biometry. */
  readonly userVerified: boolean;
}

export interface SshSignature {
  /** `SHA256:…` of the key that signed. */
  readonly fingerprint: string;
  readonly keyType: SshKeyType;
  readonly publicKeyBlob: Uint8Array;
  /** Null for keys that are not `sk-`. */
  readonly sk: SkFacts | null;
}

export type SshSignatureProblem =
  | { readonly code: "malformed"; readonly message: string }
  | { readonly code: "unsupported"; readonly message: string }
  | { readonly code: "wrong_namespace"; readonly message: string }
  | { readonly code: "bad_signature"; readonly message: string };

const MAGIC = "SSHSIG";
const HASHES = new Set(["sha256", "sha512"]);
const USER_PRESENT = 0x01;
const USER_VERIFIED = 0x04;
// ssh-keygen breaks lines at 70 characters; agents and other writers at 76, as the protocol's text says.
const ARMOUR =
  /^-----BEGIN SSH SIGNATURE-----\n((?:(?:[A-Za-z0-9+/]{70}\n)*|(?:[A-Za-z0-9+/]{76}\n)*)[A-Za-z0-9+/=]{1,76}\n)-----END SSH SIGNATURE-----\n?$/;
const MAX_ARMOUR = 32 * 1024;

interface ParsedSignature {
  readonly publicKey: SshPublicKey;
  readonly namespace: string;
  readonly hash: string;
  /** Algorithm and what follows it. */
  readonly signature: Buffer;
}

/** Checks that `armoured` is a signature over `message` made for `namespace`, and says by which key. */
export function verifySshSignature(parts: {
  readonly armoured: string;
  readonly message: Uint8Array;
  readonly namespace: string;
}): Result<SshSignature, SshSignatureProblem> {
  const blob = unarmour(parts.armoured);
  if (blob === undefined) return err({ code: "malformed", message: "not an armoured SSH signature" });
  try {
    const parsed = parseBlob(blob);
    if (parsed.namespace !== parts.namespace) {
      const message = `the signature was made for "${parsed.namespace}", not for "${parts.namespace}"`;
      return err({ code: "wrong_namespace", message });
    }
    const signed = Buffer.concat([
      Buffer.from(MAGIC),
      wireString(parsed.namespace),
      wireString(""),
      wireString(parsed.hash),
      wireString(createHash(parsed.hash).update(parts.message).digest()),
    ]);
    const { verified, sk } = check(parsed.publicKey, parsed.signature, signed);
    if (!verified)
      return err({ code: "bad_signature", message: "the signature does not fit the message and its key" });
    const { fingerprint, type, blob: publicKeyBlob } = parsed.publicKey;
    return ok({ fingerprint, keyType: type, publicKeyBlob, sk });
  } catch (error) {
    if (error instanceof Unsupported) return err({ code: "unsupported", message: error.message });
    if (error instanceof WireError) return err({ code: "malformed", message: error.message });
    throw error;
  }
}

class Unsupported extends WireError {}

function unarmour(armoured: string): Buffer | undefined {
  if (armoured.length > MAX_ARMOUR) return undefined;
  const encoded = ARMOUR.exec(armoured)?.[1]?.replaceAll("\n", "");
  if (encoded === undefined) return undefined;
  const blob = Buffer.from(encoded, "base64");
  return blob.toString("base64") === encoded ? blob : undefined;
}

function parseBlob(blob: Buffer): ParsedSignature {
  const reader = createWireReader(blob);
  if (reader.raw(MAGIC.length).toString("latin1") !== MAGIC) throw new WireError("the magic is not SSHSIG");
  const version = reader.uint32();
  if (version !== 1) throw new Unsupported(`SSHSIG version ${version}`);
  const publicKey = parseSshKeyBlob(reader.bytes());
  const namespace = reader.text();
  if (namespace === "") throw new WireError("the namespace is empty");
  if (reader.bytes().length > 0) throw new Unsupported("the reserved field is not empty");
  const hash = reader.text();
  if (!HASHES.has(hash)) throw new Unsupported(`the hash "${hash}" is not accepted`);
  const signature = reader.bytes();
  reader.done();
  return { publicKey, namespace, hash, signature };
}

function check(
  { type, key, application }: SshPublicKey,
  signature: Buffer,
  signed: Buffer,
): { readonly verified: boolean; readonly sk: SkFacts | null } {
  const reader = createWireReader(signature);
  const algorithm = reader.text();
  switch (type) {
    case "ssh-ed25519": {
      expectAlgorithm(algorithm, type);
      const raw = lastBytes(reader);
      return { verified: raw.length === 64 && fits(null, signed, key, raw), sk: null };
    }
    case "ecdsa-sha2-nistp256":
    case "ecdsa-sha2-nistp384":
    case "ecdsa-sha2-nistp521": {
      expectAlgorithm(algorithm, type);
      const hash = ECDSA_HASH[type];
      return {
        verified: fits(hash, signed, { key, dsaEncoding: "der" }, derOf(lastBytes(reader))),
        sk: null,
      };
    }
    case "ssh-rsa": {
      const hash = RSA_HASH.get(algorithm);
      if (hash === undefined)
        throw new Unsupported(`the RSA signature algorithm "${algorithm}" is not accepted`);
      return { verified: fits(hash, signed, key, lastBytes(reader)), sk: null };
    }
    case "sk-ssh-ed25519@openssh.com":
    case "sk-ecdsa-sha2-nistp256@openssh.com": {
      expectAlgorithm(algorithm, type);
      const raw = reader.bytes();
      const trailer = reader.raw(5);
      reader.done();
      const sk = skFacts(trailer);
      // What the authenticator signs: hash of the application, flags and counter, hash of the data (PROTOCOL.u2f).
      const covered = Buffer.concat([sha256(Buffer.from(application ?? "")), trailer, sha256(signed)]);
      const verified =
        type === "sk-ssh-ed25519@openssh.com"
          ? raw.length === 64 && fits(null, covered, key, raw)
          : fits("sha256", covered, { key, dsaEncoding: "der" }, derOf(raw));
      return { verified, sk };
    }
  }
}

/** OpenSSL throws at some keys and signatures instead of saying no; to us both are no. */
function fits(
  hash: string | null,
  data: Buffer,
  key: KeyObject | VerifyKeyObjectInput,
  signature: Buffer,
): boolean {
  try {
    return verify(hash, data, key, signature);
  } catch {
    return false;
  }
}

const ECDSA_HASH = {
  "ecdsa-sha2-nistp256": "sha256",
  "ecdsa-sha2-nistp384": "sha384",
  "ecdsa-sha2-nistp521": "sha512",
} as const;

const RSA_HASH: ReadonlyMap<string, string> = new Map([
  ["rsa-sha2-256", "sha256"],
  ["rsa-sha2-512", "sha512"],
]);

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest();

function expectAlgorithm(algorithm: string, type: SshKeyType): void {
  if (algorithm !== type) throw new WireError(`a signature "${algorithm}" under a key ${type}`);
}

function lastBytes(reader: WireReader): Buffer {
  const bytes = reader.bytes();
  reader.done();
  return bytes;
}

function skFacts(trailer: Buffer): SkFacts {
  const flags = trailer.readUInt8(0);
  return {
    flags,
    counter: trailer.readUInt32BE(1),
    userPresent: (flags & USER_PRESENT) !== 0,
    userVerified: (flags & USER_VERIFIED) !== 0,
  };
}

/** SSH writes an ECDSA signature as two mpints; OpenSSL wants the same two numbers in DER. */
function derOf(pair: Buffer): Buffer {
  const reader = createWireReader(pair);
  const numbers = [reader.positive(), reader.positive()].map((number) => {
    const signSafe = (number[0] as number) >= 0x80 ? Buffer.concat([Buffer.of(0), number]) : number;
    return Buffer.concat([Buffer.of(0x02, signSafe.length), signSafe]);
  });
  reader.done();
  const body = Buffer.concat(numbers);
  // Two numbers of at most 67 bytes each: the length needs the long form only for P-521.
  if (body.length > 0xff) throw new WireError("an ECDSA signature is too long");
  const length = body.length < 0x80 ? Buffer.of(body.length) : Buffer.of(0x81, body.length);
  return Buffer.concat([Buffer.of(0x30), length, body]);
}
