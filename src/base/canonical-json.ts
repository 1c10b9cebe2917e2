import { CountersignError } from "../errors.ts";
import { pointerStep } from "./json-pointer.ts";

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
export const canonicalJson = (value: unknown): string => walked(write, value);

/**
 * A deep copy that holds nothing but JSON, in canonical key order: what parsing {@link canonicalJson} gives, without
 * making the text.
 * @throws CountersignError `ARGUMENTS_UNREPRESENTABLE`, where {@link canonicalJson} does.
 */
export const canonicalCopy = <T>(value: T): T => walked(copy, value) as T;

const encoder = new TextEncoder();

/** UTF-8 bytes of {@link canonicalJson}. */
export const canonicalBytes = (value: unknown): Uint8Array => encoder.encode(canonicalJson(value));

/** What a key signs: a line that names the kind, then the RFC 8785 text. No signature fits two kinds. */
export const taggedBytes = (kind: string, value: unknown): Uint8Array =>
  encoder.encode(`${kind}\n${canonicalJson(value)}`);

/** JSON pointer of the value that is being walked; null: nobody keeps one. */
type At = string | null;

type Walk<T> = (value: unknown, at: At, depth: number) => T;

/** Thrown by a walk that keeps no pointer. */
const UNREPRESENTABLE = new Error("not representable");

function walked<T>(walk: Walk<T>, value: unknown): T {
  try {
    return walk(value, null, 0);
  } catch (error) {
    // Walked once more to say where: building a pointer for every member costs more than everything else.
    if (error === UNREPRESENTABLE) return walk(value, "", 0);
    throw error;
  }
}

function write(value: unknown, at: At, depth: number): string {
  if (depth > MAX_JSON_DEPTH) refuse(at, TOO_DEEP);
  switch (typeof value) {
    case "string":
      return writeString(value, at);
    case "number":
      return `${checkedNumber(value, at)}`;
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
  const record = plainRecord(value, at);
  let text = "";
  for (const key of canonicalKeys(record)) {
    if (key === "__proto__") refuse(at, PROTO);
    const member = record[key];
    if (member === undefined) continue;
    const here = at === null ? null : at + pointerStep(key);
    text += `${text === "" ? "{" : ","}${writeString(key, here)}:${write(member, here, depth + 1)}`;
  }
  return text === "" ? "{}" : `${text}}`;
}

/** Text that JSON has as it is. Most is, and asking takes half as long as `JSON.stringify`. */
const PLAIN = /^[ !#-[\]-~]*$/;

const writeString = (value: string, at: At): string =>
  PLAIN.test(value) ? `"${value}"` : JSON.stringify(checkedString(value, at));

function copy(value: unknown, at: At, depth: number): unknown {
  if (depth > MAX_JSON_DEPTH) refuse(at, TOO_DEEP);
  switch (typeof value) {
    case "string":
      return checkedString(value, at);
    case "number":
      return checkedNumber(value, at);
    case "boolean":
      return value;
    case "object":
      if (value === null) return null;
      if (Array.isArray(value)) return copyArray(value, at, depth);
      return copyObject(value, at, depth);
    default:
      return refuse(at, `${typeof value} is not JSON`);
  }
}

function copyArray(value: readonly unknown[], at: At, depth: number): unknown[] {
  const copied: unknown[] = [];
  for (let i = 0; i < value.length; i += 1) {
    copied.push(copy(value[i], at === null ? null : `${at}/${i}`, depth + 1));
  }
  return copied;
}

function copyObject(value: object, at: At, depth: number): Record<string, unknown> {
  const record = plainRecord(value, at);
  const copied: Record<string, unknown> = {};
  for (const key of canonicalKeys(record)) {
    if (key === "__proto__") refuse(at, PROTO);
    const member = record[key];
    if (member === undefined) continue;
    const here = at === null ? null : at + pointerStep(key);
    copied[checkedString(key, here)] = copy(member, here, depth + 1);
  }
  return copied;
}

const TOO_DEEP = `nested deeper than ${MAX_JSON_DEPTH}`;
const PROTO = "a key named __proto__";

function plainRecord(value: object, at: At): Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) refuse(at, "not a plain object");
  return value as Record<string, unknown>;
}

const FEW = 24;

/** RFC 8785 §3.2.3 sorts by UTF-16 code units, which is how JavaScript compares strings. */
function canonicalKeys(record: Record<string, unknown>): string[] {
  const keys = Object.keys(record);
  if (keys.length > FEW) return keys.sort();
  // Few, and mostly in order: insertion takes a half to a third of what `sort` does.
  for (let i = 1; i < keys.length; i += 1) {
    const key = keys[i] as string;
    let to = i;
    for (; to > 0 && (keys[to - 1] as string) > key; to -= 1) keys[to] = keys[to - 1] as string;
    keys[to] = key;
  }
  return keys;
}

function checkedString(value: string, at: At): string {
  if (!value.isWellFormed()) refuse(at, "a lone surrogate");
  return value;
}

/** Minus zero becomes zero, as RFC 8785 §3.2.2.3 writes it. */
function checkedNumber(value: number, at: At): number {
  if (!Number.isFinite(value)) refuse(at, `${value} is not a JSON number`);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    refuse(at, "an integer beyond ±(2^53−1); send it as a string");
  }
  return value === 0 ? 0 : value;
}

function refuse(at: At, what: string): never {
  if (at === null) throw UNREPRESENTABLE;
  throw new CountersignError("ARGUMENTS_UNREPRESENTABLE", `at ${at === "" ? "/" : at}: ${what}`, {
    details: { pointer: at },
  });
}
