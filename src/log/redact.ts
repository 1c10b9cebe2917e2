import { createHmac } from "node:crypto";
import type { Json, JsonObject } from "../base/canonical-json.ts";
import { SECRET_PATTERNS, type SecretPattern } from "./secret-patterns.ts";
import { isSensitiveKey, normaliseKey } from "./sensitive-keys.ts";

// Masking: no secret stands in an entry (L3), a view or a reply.
//
//   M1. A mask is `[masked:<type>:<4 hex>]`: the type, and a keyed hash that keeps equal secrets comparable on one
//       gateway and says nothing to anyone without the key. The match itself is stored nowhere.
//   M2. Linear time on any text.
//   M3. Masking twice changes nothing.
//   M4. What is masked in a view is only what has the certain form of a secret. `password = …` in a diff may be code,
//       and a mask over code would hide from an approver what an attacker wants hidden; so names in running text
//       count only where `assignments` asks for it: logs, errors, results.

export interface MaskOptions {
  /** The gateway's `mask` key. */
  readonly maskKey: Uint8Array;
  /** Further names of sensitive members, from the policy's masks. */
  readonly keys?: readonly string[];
  /** Also mask what follows `password=` and the like in running text. Never for what people approve (M4). */
  readonly assignments?: boolean;
  /** False: member names say nothing, only the form of the text counts. For documents whose names are ours. */
  readonly byName?: boolean;
}

export interface Masked<T> {
  readonly value: T;
  /** How many secrets were masked. */
  readonly masked: number;
  /** The same by type. */
  readonly types: Readonly<Record<string, number>>;
}

/** Masks the secrets in a text. */
export function maskText(text: string, options: MaskOptions): Masked<string> {
  const run = newRun(options);
  return { value: maskString(text, run), masked: run.count(), types: run.types };
}

/**
 * Masks the secrets in a JSON value: by member name whatever the value looks like, then by form in every string,
 * member names included. The value is never changed: what holds a secret is copied, and what holds none comes back
 * itself.
 */
export function maskJson<T extends Json>(value: T, options: MaskOptions): Masked<Json> {
  const run = newRun(options);
  return { value: walk(value, run, false, 0), masked: run.count(), types: run.types };
}

interface Run {
  readonly extra: ReadonlySet<string>;
  readonly byName: boolean;
  readonly assignments: boolean;
  readonly types: Record<string, number>;
  token(type: string, secret: string): string;
  count(): number;
}

function newRun(options: MaskOptions): Run {
  const types: Record<string, number> = {};
  return {
    extra: new Set((options.keys ?? []).map(normaliseKey).filter((key) => key !== "")),
    byName: options.byName ?? true,
    assignments: options.assignments ?? false,
    types,
    token(type, secret) {
      types[type] = (types[type] ?? 0) + 1;
      const hash = createHmac("sha256", options.maskKey).update(secret).digest("hex");
      return `[masked:${type}:${hash.slice(0, 4)}]`;
    },
    count: () => Object.values(types).reduce((sum, n) => sum + n, 0),
  };
}

const MAX_DEPTH = 128;
const MASK = /^\[masked:[a-z-]{1,32}:[0-9a-f]{4}\]$/;

function walk(value: Json, run: Run, sensitive: boolean, depth: number): Json {
  if (depth > MAX_DEPTH) return run.token("too-deep", "");
  if (typeof value === "string") return sensitive ? maskWhole(value, run) : maskString(value, run);
  if (typeof value === "number") return sensitive ? run.token("field", String(value)) : value;
  if (value === null || typeof value === "boolean") return value;
  return Array.isArray(value)
    ? walkArray(value as readonly Json[], run, sensitive, depth)
    : walkObject(value as JsonObject, run, sensitive, depth);
}

function walkArray(value: readonly Json[], run: Run, sensitive: boolean, depth: number): Json {
  let masked: Json[] | null = null;
  for (let i = 0; i < value.length; i += 1) {
    const item = value[i] as Json;
    const shown = walk(item, run, sensitive, depth + 1);
    if (masked === null && shown !== item) masked = value.slice(0, i);
    masked?.push(shown);
  }
  return masked ?? value;
}

function walkObject(value: JsonObject, run: Run, sensitive: boolean, depth: number): Json {
  let masked: Map<string, Json> | null = null;
  const keys = Object.keys(value);
  for (let i = 0; i < keys.length; i += 1) {
    const key = keys[i] as string;
    const member = value[key] as Json;
    let name = maskString(key, run);
    const isSensitive = sensitive || (run.byName && isSensitiveKey(key, run.extra));
    const shown = walk(member, run, isSensitive, depth + 1);
    if (masked === null) {
      if (name === key && shown === member) continue;
      masked = new Map(keys.slice(0, i).map((before) => [before, value[before] as Json]));
    }
    // Two different secrets may share four hex digits; neither member may swallow the other.
    while (masked.has(name)) name += "+";
    masked.set(name, shown);
  }
  return masked === null ? value : Object.fromEntries(masked);
}

function maskWhole(value: string, run: Run): string {
  if (value === "" || MASK.test(value)) return value;
  return run.token("field", value);
}

const PREFIXES: ReadonlyMap<string, readonly SecretPattern[]> = byPrefix();
const ANCHOR = new RegExp(
  [...PREFIXES.keys()]
    .sort((a, b) => b.length - a.length)
    .map((prefix) => prefix.replaceAll(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`))
    .join("|"),
  "g",
);

function byPrefix(): ReadonlyMap<string, readonly SecretPattern[]> {
  const map = new Map<string, SecretPattern[]>();
  const all = SECRET_PATTERNS.flatMap((pattern) => pattern.prefixes.map((prefix) => ({ prefix, pattern })));
  for (const { prefix } of all) {
    // The longest prefix finds the place, so it must also try the patterns of the shorter ones it begins with.
    map.set(
      prefix,
      all.filter((one) => prefix.startsWith(one.prefix)).map((one) => one.pattern),
    );
  }
  return map;
}

function maskString(text: string, run: Run): string {
  if (text.length < 8) return text;
  let out = "";
  let done = 0;
  ANCHOR.lastIndex = 0;
  for (let hit = ANCHOR.exec(text); hit !== null; hit = ANCHOR.exec(text)) {
    // What follows directly on a masked secret starts a token too, or a second pass would see what the first did not.
    const starts = hit.index === done || startsToken(text, hit.index);
    const found = matchAt(text, hit.index, starts, PREFIXES.get(hit[0]) ?? []);
    if (found === undefined) {
      ANCHOR.lastIndex = hit.index + 1;
      continue;
    }
    out += text.slice(done, found.from) + run.token(found.type, text.slice(found.from, found.to));
    done = found.to;
    ANCHOR.lastIndex = found.to;
  }
  const rest = done === 0 ? text : out + text.slice(done);
  return run.assignments ? maskAssignments(rest, run) : rest;
}

interface Found {
  readonly type: string;
  readonly from: number;
  readonly to: number;
}

function matchAt(
  text: string,
  at: number,
  starts: boolean,
  patterns: readonly SecretPattern[],
): Found | undefined {
  for (const pattern of patterns) {
    if (!starts && pattern.anywhere !== true) continue;
    const body = new RegExp(pattern.body);
    body.lastIndex = at;
    const match = body.exec(text);
    if (match === null || pattern.accepts?.(match[0]) === false) continue;
    const secret = match.groups?.["secret"];
    if (secret === undefined) return { type: pattern.type, from: at, to: at + match[0].length };
    // The group is read from the end: what follows it is at most the `@` of a URL.
    const from = at + match[0].lastIndexOf(secret);
    return MASK.test(secret) ? undefined : { type: pattern.type, from, to: from + secret.length };
  }
  return undefined;
}

/** True where no token goes on across `at`; an escaped newline (`\n`) or byte (`%3D`) before it doesn't count as one. */
function startsToken(text: string, at: number): boolean {
  if (at === 0 || !/[A-Za-z0-9_-]/.test(text.charAt(at - 1))) return true;
  return /\\[nrtbf]$|%[0-9A-Fa-f]{2}$|\\u[0-9A-Fa-f]{4}$/.test(text.slice(Math.max(0, at - 6), at));
}

const VALUE = /[ \t]{0,4}(?:"([^"\r\n]{1,4096})"|'([^'\r\n]{1,4096})'|([^\s"',;&<>(){}[\]]{1,4096}))/y;

// From each `=` or `:` backwards to the name, forwards to the value: work is bounded per separator, and a value that
// was masked is skipped as a whole.
function maskAssignments(text: string, run: Run): string {
  const separator = /\[masked:[a-z-]{1,32}:[0-9a-f]{4}\]|[:=]/g;
  let out = "";
  let done = 0;
  for (let hit = separator.exec(text); hit !== null; hit = separator.exec(text)) {
    if (hit[0].length > 1) continue;
    const before = text.slice(Math.max(done, hit.index - 68), hit.index);
    const name = /([A-Za-z0-9_.-]{2,64})["']?[ \t]{0,2}$/.exec(before)?.[1];
    if (name === undefined || !isSensitiveKey(name, run.extra)) continue;
    const value = new RegExp(VALUE);
    value.lastIndex = hit.index + 1;
    const match = value.exec(text);
    const secret = match?.[1] ?? match?.[2] ?? match?.[3];
    if (match === null || secret === undefined || /^(?:bearer|basic)$/i.test(secret)) continue;
    const from = hit.index + 1 + match[0].lastIndexOf(secret);
    if (text.startsWith("[masked:", from)) continue;
    out += text.slice(done, from) + run.token("field", secret);
    done = from + secret.length;
    separator.lastIndex = done;
  }
  return done === 0 ? text : out + text.slice(done);
}
