import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { err, ok, type Result } from "../base/result.ts";
import {
  cosignatureTime,
  cosignedBytes,
  ED25519_COSIGNATURE,
  formatNote,
  formatVerifierKey,
  keyId,
  openNote,
  parseNote,
  type VerifierKey,
} from "./note.ts";

// C2SP cosignatures (c2sp.org/tlog-cosignature): one more signature line on a checkpoint, by a witness that has checked
// that the log only grew. It says that this was the largest tree that the witness had seen at that second.
//
//   S1. A cosigner signs what it was handed and nothing else: whether the log may be believed is asked before.
//   S2. It signs the whole text, extension lines included, but vouches for the first three lines only.

/** The verifier key of a witness, and its signature on checkpoints. */
export interface Cosigner {
  /** `<name>+<8 hex digits>+<base64 of 0x04 ‖ public key>`. */
  readonly vkey: string;
  /**
   * The note with this witness's cosignature as its last line; an earlier one by the same key is replaced.
   * @throws RangeError for what is no note
   */
  cosign(note: string, seconds: number): string;
}

const SPKI_HEAD_BYTES = 12;

/** Signs checkpoints with an Ed25519 key, PKCS#8 PEM, that signs nothing else. */
export function createCosigner(parts: { readonly name: string; readonly privateKeyPem: string }): Cosigner {
  const privateKey = createPrivateKey(parts.privateKeyPem);
  if (privateKey.asymmetricKeyType !== "ed25519")
    throw new RangeError("cosignatures are made with Ed25519 keys");
  const publicKey = createPublicKey(privateKey)
    .export({ format: "der", type: "spki" })
    .subarray(SPKI_HEAD_BYTES);
  const { name } = parts;
  const id = keyId(name, ED25519_COSIGNATURE, publicKey);
  return {
    vkey: formatVerifierKey(name, ED25519_COSIGNATURE, publicKey),
    cosign(note, seconds) {
      const parsed = parseNote(note);
      if (!parsed.ok) throw new RangeError(parsed.error);
      const { text, signatures } = parsed.value;
      const time = Buffer.alloc(8);
      time.writeBigUInt64BE(BigInt(seconds));
      const signature = Buffer.concat([
        time,
        sign(null, cosignedBytes(Buffer.from(text), seconds), privateKey),
      ]);
      const others = signatures.filter((one) => one.name !== name || one.id !== id);
      return formatNote({ text, signatures: [...others, { name, id, signature }] });
    },
  };
}

/** When a witness cosigned a note, in Unix seconds; an error unless its signature is there and verifies. */
export function cosignedAt(note: string, witness: VerifierKey): Result<number, string> {
  if (witness.algorithm !== ED25519_COSIGNATURE) return err("that is not the key of a witness");
  const opened = openNote(note, [witness]);
  if (!opened.ok) return opened;
  const parsed = parseNote(note);
  const line = parsed.ok
    ? parsed.value.signatures.find(({ name, id }) => name === witness.name && id === witness.id)
    : undefined;
  const time = line === undefined ? null : cosignatureTime(line.signature);
  return time === null ? err("the cosignature has no time") : ok(time);
}
