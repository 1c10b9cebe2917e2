import { createHash, createPrivateKey, createPublicKey, sign, verify, type KeyObject } from "node:crypto";
import { err, ok, type Result } from "../base/result.ts";

// C2SP signed notes (c2sp.org/signed-note): text that keys sign, one line per signature.
//
//   N1. A parser refuses what formatting would not have written, byte for byte: two notes are equal or they differ.
//   N2. A signature by an unknown key is kept and ignored; one by a known key that does not verify refuses the note.
//   N3. The algorithm is a byte of the key. Ed25519 notes (0x01) and Ed25519 cosignatures (0x04) stand in the table;
//       another is one more row.

interface Algorithm {
  readonly keyBytes: number;
  verify(publicKey: Uint8Array, text: Uint8Array, signature: Uint8Array): boolean;
}

export const ED25519 = 0x01;
/** A witness's timestamped signature over a checkpoint (c2sp.org/tlog-cosignature, `cosignature/v1`). */
export const ED25519_COSIGNATURE = 0x04;

/** DER of SubjectPublicKeyInfo up to the 32 bytes of an Ed25519 key (RFC 8410 §4). */
const ED25519_SPKI = Buffer.from("302a300506032b6570032100", "hex");

const ALGORITHMS: ReadonlyMap<number, Algorithm> = new Map([
  [
    ED25519,
    {
      keyBytes: 32,
      verify: (publicKey, text, signature) =>
        signature.length === 64 && verify(null, text, ed25519PublicKey(publicKey), signature),
    },
  ],
  [
    ED25519_COSIGNATURE,
    {
      keyBytes: 32,
      verify(publicKey, text, signature) {
        const time = cosignatureTime(signature);
        if (time === null) return false;
        return verify(null, cosignedBytes(text, time), ed25519PublicKey(publicKey), signature.subarray(8));
      },
    },
  ],
]);

/** A node:crypto key of the 32 bytes of RFC 8032. */
export const ed25519PublicKey = (raw: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([ED25519_SPKI, raw]), format: "der", type: "spki" });

/** Unix seconds that a cosignature carries: u64 ‖ 64 bytes; null where it is none, or beyond what a date can be. */
export function cosignatureTime(signature: Uint8Array): number | null {
  if (signature.length !== 72) return null;
  const seconds = Buffer.from(signature.buffer, signature.byteOffset, 8).readBigUInt64BE();
  return seconds > BigInt(Number.MAX_SAFE_INTEGER) ? null : Number(seconds);
}

/** What a cosigner signs: two lines of its own, then the whole text of the checkpoint's note. */
export const cosignedBytes = (text: Uint8Array, seconds: number): Buffer =>
  Buffer.concat([Buffer.from(`cosignature/v1\ntime ${seconds}\n`), text]);

/** A parsed verifier key: `<name>+<8 hex digits of the key id>+<base64 of algorithm ‖ public key>`. */
export interface VerifierKey {
  readonly text: string;
  readonly name: string;
  /** Eight lower-case hex digits. */
  readonly id: string;
  readonly algorithm: number;
  readonly publicKey: Uint8Array;
}

export interface NoteSignature {
  readonly name: string;
  readonly id: string;
  readonly signature: Uint8Array;
}

export interface Note {
  /** With its final newline: what is signed. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
}

/** Post-quantum signatures are near 5 kB, and 16 of them must be accepted. */
const MAX_NOTE_LENGTH = 1024 * 1024;
const MAX_SIGNATURES = 100;
const NAME = /^[^\p{White_Space}+]+$/u;

/** The first four bytes of SHA-256(name ‖ 0x0A ‖ algorithm ‖ public key), in hex. */
export function keyId(name: string, algorithm: number, publicKey: Uint8Array): string {
  return createHash("sha256")
    .update(`${name}\n`)
    .update(Buffer.of(algorithm))
    .update(publicKey)
    .digest("hex")
    .slice(0, 8);
}

export function formatVerifierKey(name: string, algorithm: number, publicKey: Uint8Array): string {
  const key = Buffer.concat([Buffer.of(algorithm), publicKey]).toString("base64");
  return `${name}+${keyId(name, algorithm, publicKey)}+${key}`;
}

/** Parses a verifier key; the error says what is wrong with it. */
export function parseVerifierKey(text: string): Result<VerifierKey, string> {
  const [name, id, encoded, ...rest] = splitKey(text);
  if (name === undefined || id === undefined || encoded === undefined || rest.length > 0) {
    return err("a verifier key has the form name+id+key");
  }
  if (!isName(name)) return err("the name of a verifier key holds a space, a plus or a control character");
  const bytes = decodeBase64(encoded);
  const algorithmByte = bytes?.[0];
  if (bytes === undefined || algorithmByte === undefined)
    return err("the key of a verifier key is not base64");
  const algorithm = ALGORITHMS.get(algorithmByte);
  if (algorithm === undefined)
    return err(`signature algorithm ${algorithmByte} is not known to this release`);
  const publicKey = bytes.subarray(1);
  if (publicKey.length !== algorithm.keyBytes) {
    return err(`expected a key of ${algorithm.keyBytes} bytes, got ${publicKey.length}`);
  }
  if (id !== keyId(name, algorithmByte, publicKey))
    return err("the id of a verifier key does not match its key");
  return ok({ text, name, id, algorithm: algorithmByte, publicKey });
}

/** Base64 may hold a plus too, so only the first two separate. */
function splitKey(text: string): (string | undefined)[] {
  const first = text.indexOf("+");
  const second = text.indexOf("+", first + 1);
  if (first < 0 || second < 0) return [];
  return [text.slice(0, first), text.slice(first + 1, second), text.slice(second + 1)];
}

const isName = (name: string): boolean => NAME.test(name) && isPlainText(name) && !name.includes("\n");

/** Well-formed, and no control character but newline. */
const isPlainText = (text: string): boolean => text.isWellFormed() && !/[\0-\x09\x0b-\x1f]/.test(text);

function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}

/**
 * The note's own bytes.
 * @throws RangeError where the text or a name can't stand in a note.
 */
export function formatNote(note: Note): string {
  if (!note.text.endsWith("\n") || !isPlainText(note.text)) {
    throw new RangeError("the text of a note ends in a newline and holds no other control character");
  }
  return `${note.text}\n${note.signatures.map(formatSignature).join("")}`;
}

function formatSignature({ name, id, signature }: NoteSignature): string {
  if (!isName(name)) throw new RangeError("the name of a key holds a space, a plus or a control character");
  return `— ${name} ${Buffer.concat([Buffer.from(id, "hex"), signature]).toString("base64")}\n`;
}

const SIGNATURE_LINE = /^— (\S+) ([A-Za-z0-9+/]+={0,2})$/u;

/** Parses a signed note without judging its signatures (N1). */
export function parseNote(text: string): Result<Note, string> {
  if (text.length > MAX_NOTE_LENGTH) return err("the note is too large");
  if (!isPlainText(text)) return err("the note holds a control character or is not well-formed text");
  // The last empty line separates: the text may hold empty lines too.
  const split = text.lastIndexOf("\n\n");
  if (split < 0) return err("the note has no empty line before its signatures");
  const body = text.slice(0, split + 1);
  const lines = text.slice(split + 2);
  if (!lines.endsWith("\n")) return err("the note does not end in a newline");
  const signatures: NoteSignature[] = [];
  for (const line of lines.slice(0, -1).split("\n")) {
    const [, name, encoded] = SIGNATURE_LINE.exec(line) ?? [];
    const bytes = encoded === undefined ? undefined : decodeBase64(encoded);
    if (name === undefined || !isName(name) || bytes === undefined || bytes.length < 5) {
      return err("a signature line of the note is malformed");
    }
    signatures.push({ name, id: bytes.toString("hex", 0, 4), signature: bytes.subarray(4) });
  }
  if (signatures.length > MAX_SIGNATURES) return err("the note has too many signatures");
  return ok({ text: body, signatures });
}

export interface OpenedNote {
  readonly text: string;
  /** Keys whose signature verified, in the order of the note. */
  readonly signedBy: readonly VerifierKey[];
  /** Signatures by keys that were not passed in. */
  readonly unknown: readonly NoteSignature[];
}

/** Parses a note and checks the signatures of `keys`; an error unless at least one of them signed it (N2). */
export function openNote(text: string, keys: readonly VerifierKey[]): Result<OpenedNote, string> {
  const parsed = parseNote(text);
  if (!parsed.ok) return parsed;
  const bytes = Buffer.from(parsed.value.text);
  const signedBy: VerifierKey[] = [];
  const unknown: NoteSignature[] = [];
  for (const signature of parsed.value.signatures) {
    const key = keys.find(({ name, id }) => name === signature.name && id === signature.id);
    if (key === undefined) unknown.push(signature);
    else if (!verifies(key, bytes, signature.signature))
      return err(`the signature of ${key.name} does not verify`);
    else if (!signedBy.includes(key)) signedBy.push(key);
  }
  if (signedBy.length === 0) return err("no known key signed the note");
  return ok({ text: parsed.value.text, signedBy, unknown });
}

const verifies = (key: VerifierKey, text: Uint8Array, signature: Uint8Array): boolean =>
  ALGORITHMS.get(key.algorithm)?.verify(key.publicKey, text, signature) ?? false;

export interface NoteSigner {
  readonly vkey: string;
  /** The whole note over `text`, signed. */
  sign(text: string): string;
}

/** An Ed25519 key that signs notes: PKCS#8 PEM, and its name. */
export interface NoteKey {
  readonly name: string;
  readonly privateKeyPem: string;
}

/** Signs notes with one key. */
export function createNoteSigner(parts: NoteKey): NoteSigner {
  const { vkey, signature } = noteSignatures(parts);
  return { vkey, sign: (text) => formatNote({ text, signatures: [signature(text)] }) };
}

/** The whole note over `text`, signed by each of `keys`. */
export const signNote = (text: string, keys: readonly NoteKey[]): string =>
  formatNote({ text, signatures: keys.map((key) => noteSignatures(key).signature(text)) });

function noteSignatures(parts: NoteKey): { vkey: string; signature: (text: string) => NoteSignature } {
  const { name } = parts;
  const privateKey = createPrivateKey(parts.privateKeyPem);
  if (privateKey.asymmetricKeyType !== "ed25519") throw new RangeError("notes are signed with Ed25519 keys");
  const publicKey = createPublicKey(privateKey)
    .export({ format: "der", type: "spki" })
    .subarray(ED25519_SPKI.length);
  const id = keyId(name, ED25519, publicKey);
  return {
    vkey: formatVerifierKey(name, ED25519, publicKey),
    signature: (text) => ({ name, id, signature: sign(null, Buffer.from(text), privateKey) }),
  };
}
