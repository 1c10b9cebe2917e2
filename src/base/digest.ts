import { createHash, hash } from "node:crypto";
import { canonicalJson } from "./canonical-json.ts";
import { pooledRandomBytes } from "./random-bytes.ts";

/** `sha256:` and 64 lower-case hex digits. */
export type Digest = `sha256:${string}`;

/** What is hashed. The tag separates domains: a view can never be passed off as a plan. */
export type DigestTag =
  | "arguments"
  | "file"
  | "inputs"
  | "invitation"
  | "plan"
  | "policy"
  | "question"
  | "reasoning"
  | "registry"
  | "requirement"
  | "result"
  | "statement"
  | "tool"
  | "undo"
  | "view";

export const SALT_BYTES = 16;

/** Digest = sha256(`countersign.<tag>.v1\n` ‖ salt ‖ bytes). An empty salt where the bytes hold their own nonce. */
export function digestBytes(tag: DigestTag, bytes: Uint8Array, salt: Uint8Array = new Uint8Array(0)): Digest {
  return `sha256:${createHash("sha256").update(domain(tag)).update(salt).update(bytes).digest("hex")}`;
}

/** salt ‖ bytes, as a document is kept, and its {@link digestBytes}: one copy serves both. */
export function saltedDocument(
  tag: DigestTag,
  bytes: Uint8Array,
  salt: Uint8Array,
): { readonly salted: Buffer; readonly digest: Digest } {
  const front = domain(tag);
  const whole = Buffer.allocUnsafe(front.length + salt.length + bytes.length);
  whole.write(front, "latin1");
  whole.set(salt, front.length);
  whole.set(bytes, front.length + salt.length);
  return { salted: whole.subarray(front.length), digest: `sha256:${hash("sha256", whole, "hex")}` };
}

/** Digest over the RFC 8785 bytes of a value, unsalted. */
export const digestJson = (tag: DigestTag, value: unknown): Digest =>
  // Node hashes the UTF-8 bytes of a text, and this one has no lone surrogate that would become something else.
  `sha256:${hash("sha256", domain(tag) + canonicalJson(value), "hex")}`;

const domain = (tag: DigestTag): string => `countersign.${tag}.v1\n`;

export const newSalt = (): Uint8Array => pooledRandomBytes(SALT_BYTES);

const DIGEST = /^sha256:[0-9a-f]{64}$/;
export const isDigest = (text: unknown): text is Digest => typeof text === "string" && DIGEST.test(text);

const CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/** The six-character request code: the first 30 bits of the question digest, for display and for typing only. */
export function requestCode(question: Digest): string {
  const bits = Number.parseInt(question.slice(7, 15), 16) >>> 2;
  let code = "";
  for (let shift = 25; shift >= 0; shift -= 5) code += CODE_ALPHABET[(bits >>> shift) & 31];
  return code;
}
