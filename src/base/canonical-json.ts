import { CountersignError } from "../errors.ts";

// RFC 8785 (JSON Canonicalization Scheme), strict profile.
//
// What people approve, what is hashed, what is stored and what is forwarded are the bytes made here. So a value that
// JCS would silently change is refused instead: integers beyond ±(2^53−1), non-finite numbers, lone surrogates,
// `__proto__` keys, `undefined`, depth over 64. Written by hand because refusal and serialisation must be one walk
// over one value; `canonicalize` is the oracle in the tests.

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

export const MAX_JSON_DEPTH = 64;

/**
 * The RFC 8785 text of `value`.
 * @throws CountersignError `ARGUMENTS_UNREPRESENTABLE`, with the JSON pointer of the offending part.
 */
export function canonicalJson(value: unknown): string {
  try {
    return write(value, null, 0);
  } catch (error) {
    // Walked once more to say where: building a pointer for every member costs more than everything else.
    if (error === UNREPRESENTABLE) return write(value, "", 0);
    throw error;
  }
}

/** Thrown by a walk that keeps no pointer. */
const UNREPRESENTABLE = new Error("not representable");

/** JSON pointer of the value that is being written; null: nobody keeps one. */
type At = string | null;

const encoder = new TextEncoder();

/** UTF-8 bytes of {@link canonicalJson}. */
export const canonicalBytes = (value: unknown): Uint8Array => encoder.encode(canonicalJson(value));

/** What a key signs: a line that names the kind, then the RFC 8785 text. No signature fits two kinds. */
export const taggedBytes = (kind: string, value: unknown): Uint8Array =>
  encoder.encode(`${kind}\n${canonicalJson(value)}`);

/** A deep copy that holds nothing but JSON, in canonical key order. */
export const canonicalCopy = <T>(value: T): T => JSON.parse(canonicalJson(value)) as T;

function write(value: unknown, at: At, depth: number): string {
  if (depth > MAX_JSON_DEPTH) refuse(at, `nested deeper than ${MAX_JSON_DEPTH}`);
  switch (typeof value) {
    case "string":
      return writeString(value, at);
    case "number":
      return writeNumber(value, at);
    case "boolean":
      return value ? "true" : "false";
    case "object":
      if (value === null) return "null";
      if (Array.isArray(value)) return writeArray(value, at, depth);
      return writeObject(value, at, depth);
    default:
      return refuse(at, `${typeof value} is not JSON`);
  }
}

function writeArray(value: readonly unknown[], at: At, depth: number): string {
  let text = "[";
  // By index, because a hole is a value that is refused and no gap.
  for (let i = 0; i < value.length; i += 1) {
    if (i > 0) text += ",";
    text += write(value[i], at === null ? null : `${at}/${i}`, depth + 1);
  }
  return `${text}]`;
}

function writeObject(value: object, at: At, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) refuse(at, "not a plain object");
  const record = value as Record<string, unknown>;
  let text = "{";
  // RFC 8785 §3.2.3 sorts by UTF-16 code units, which is what Array#sort does on strings.
  for (const key of Object.keys(record).sort()) {
    if (key === "__proto__") refuse(at, "a key named __proto__");
    const member = record[key];
    if (member === undefined) continue;
    const here = at === null ? null : `${at}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    if (text.length > 1) text += ",";
    text += `${writeString(key, here)}:${write(member, here, depth + 1)}`;
  }
  return `${text}}`;
}

function writeString(value: string, at: At): string {
  if (!value.isWellFormed()) refuse(at, "a lone surrogate");
  return JSON.stringify(value);
}

function writeNumber(value: number, at: At): string {
  if (!Number.isFinite(value)) refuse(at, `${value} is not a JSON number`);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    refuse(at, "an integer beyond ±(2^53−1); send it as a string");
  }
  return JSON.stringify(value === 0 ? 0 : value);
}

function refuse(at: At, what: string): never {
  if (at === null) throw UNREPRESENTABLE;
  throw new CountersignError("ARGUMENTS_UNREPRESENTABLE", `at ${at === "" ? "/" : at}: ${what}`, {
    details: { pointer: at },
  });
}
