import { parseTimestamp, type Timestamp } from "../base/clock.ts";
import { jsonCopy } from "../base/json-copy.ts";
import { err, ok, type Result } from "../base/result.ts";
import { CountersignError } from "../errors.ts";
import { ENTRY_KINDS, MAX_ENTRY_BYTES, type Entry, type EntryDraft, type KeyHold } from "./entry.ts";

// The exact bytes of an entry, shared by every store (L2).
//
//   E1. One entry is one line of JSON without white space, at most 64 KiB, its members in the order
//       v, seq, time, kind, subject, policy, keys, more, data. `keys` stands only where the draft has it.
//   E2. `more` says how many entries of the same batch follow, and is absent on the batch's last entry. It is what
//       makes a batch atomic in a file: a reader that finds fewer lines than `more` promised drops the whole batch.
//   E3. What was stored is what is hashed: nobody encodes an entry a second time. Decoding still refuses a line whose
//       first members are not byte for byte what encoding writes, because searching a log relies on their place.

/** A draft with all its members encoded except those that only the holder of the lock knows. */
export interface EncodedDraft {
  /** `"kind":…,"subject":…,"policy":…` and, where present, `,"keys":…`. */
  readonly front: string;
  readonly data: string;
  /** What those bytes say: nothing that the caller does to its draft from now on changes it. */
  readonly said: EntryDraft;
}

const KNOWN: ReadonlySet<string> = new Set(ENTRY_KINDS);

/**
 * Encodes what does not depend on the entry's place, so that it can be done while others hold the lock.
 * @throws TypeError for a kind this release does not know: written, it would stop every process that reads the log.
 */
export function encodeDraft(draft: EntryDraft): EncodedDraft {
  if (!KNOWN.has(draft.kind)) throw new TypeError(`no entry kind "${String(draft.kind)}"`);
  if (typeof draft.data !== "object" || draft.data === null)
    throw new TypeError(`${draft.kind}: data is no object`);
  const { kind, subject, policy } = draft;
  const front = `"kind":"${kind}","subject":${JSON.stringify(subject)},"policy":${JSON.stringify(policy)}`;
  const text = JSON.stringify(draft.data);
  const data = jsonCopy(draft.data);
  if (draft.keys === undefined) {
    return { front, data: text, said: { kind, subject, policy, data } as EntryDraft };
  }
  const keys = draft.keys.map(({ key, until }): KeyHold => ({ key, until }));
  return {
    front: `${front},"keys":${JSON.stringify(keys)}`,
    data: text,
    said: { kind, subject, policy, keys: jsonCopy(keys) as KeyHold[], data } as EntryDraft,
  };
}

/** Where an entry stands. `more` counts the entries of the same batch that follow. */
export interface EntryPlace {
  readonly seq: number;
  readonly time: Timestamp;
  readonly more: number;
}

/** A line without its newline, in two parts: joined, a group's lines would be copied once more on their way to disk. */
export interface EncodedLine {
  /** Everything up to the value of `data`. */
  readonly head: string;
  /** The value of `data`; what follows it is the brace that closes the entry. */
  readonly data: string;
}

export const lineText = ({ head, data }: EncodedLine): string => `${head}${data}}`;

/** At most so many bytes of UTF-8 does one unit of UTF-16 become. */
const MOST_BYTES = 3;

/**
 * The line of an entry.
 * @throws CountersignError `ENTRY_TOO_LARGE`
 */
export function encodeEntry({ front, data }: EncodedDraft, at: EntryPlace): EncodedLine {
  const more = at.more === 0 ? "" : `,"more":${at.more}`;
  const head = `${linePrefix(at.seq, at.time)}${front}${more},"data":`;
  if ((head.length + data.length + 1) * MOST_BYTES > MAX_ENTRY_BYTES) {
    const bytes = Buffer.byteLength(head) + Buffer.byteLength(data) + 1;
    if (bytes > MAX_ENTRY_BYTES) throw tooLarge(bytes);
  }
  return { head, data };
}

const tooLarge = (bytes: number): CountersignError =>
  new CountersignError("ENTRY_TOO_LARGE", `an entry of ${bytes} bytes; at most ${MAX_ENTRY_BYTES} fit`, {
    details: { bytes, limit: MAX_ENTRY_BYTES },
  });

/** More bytes than the line and its newline can have. */
export const roomFor = ({ head, data }: EncodedLine): number => (head.length + data.length + 2) * MOST_BYTES;

/** Writes the line and its newline; the position after it. There must be {@link roomFor} it. */
export function writeLine({ head, data }: EncodedLine, into: Buffer, start: number): number {
  let at = start + into.write(head, start, "utf8");
  at += into.write(data, at, "utf8");
  into[at] = CLOSING_BRACE;
  into[at + 1] = NEWLINE;
  return at + 2;
}

const CLOSING_BRACE = 0x7d;
const NEWLINE = 0x0a;

/** The entry that decoding the draft's line would give: what the fold sees live must be what it sees in a replay. */
export function entryOf({ said }: EncodedDraft, { seq, time, more }: EntryPlace): Entry {
  const { kind, subject, policy, keys, data } = said;
  const entry: Record<string, unknown> = { v: 1, seq, time, kind, subject, policy };
  if (keys !== undefined) entry["keys"] = keys;
  if (more !== 0) entry["more"] = more;
  entry["data"] = data;
  return entry as unknown as Entry;
}

const linePrefix = (seq: number, time: string): string => `{"v":1,"seq":${seq},"time":"${time}",`;

/** The entry that must stand at `seq`, or why the line is not it. */
export function decodeEntry(line: string, seq: number): Result<Entry, string> {
  let entry: Entry;
  try {
    entry = JSON.parse(line) as Entry;
  } catch {
    return err("not a line of JSON");
  }
  if (typeof entry !== "object" || entry === null) return err("not an entry");
  if (!Number.isSafeInteger(entry.seq)) return err("no sequence number");
  if (entry.seq !== seq) {
    return err(`entry ${entry.seq} where ${seq} was due: ${entry.seq < seq ? "a repeat" : "a gap"}`);
  }
  // A later version may order its members otherwise; whoever folds the entry stops at it (F1).
  if (entry.v !== 1) return ok(entry);
  if (!Number.isFinite(parseTimestamp(entry.time))) return err("no time");
  if (!line.startsWith(linePrefix(seq, entry.time))) return err("members out of order");
  if (entry.more !== undefined && !(Number.isSafeInteger(entry.more) && entry.more > 0))
    return err("a bad `more`");
  return ok(entry);
}

const PREFIX = /^\{"v":1,"seq":(\d{1,16}),"time":"([0-9T:.Z-]{24})",/;
/** Bytes that always hold the members read by {@link peekLine}. */
export const PREFIX_BYTES = 80;

/** Sequence number and time (epoch ms) from a line's first bytes; null where they are not an entry's. */
export function peekLine(prefix: string): { readonly seq: number; readonly time: number } | null {
  const match = PREFIX.exec(prefix);
  return match === null ? null : { seq: Number(match[1]), time: Date.parse(match[2] as string) };
}

const FRONT = Buffer.from('{"v":1,"seq":');

/** The sequence number of the line at `start`, or -1: {@link peekLine} for millions of lines. */
export function seqAt(bytes: Uint8Array, start: number): number {
  for (let i = 0; i < FRONT.length; i += 1) if (bytes[start + i] !== FRONT[i]) return -1;
  let seq = 0;
  for (let at = start + FRONT.length; ; at += 1) {
    const digit = (bytes[at] ?? 0) - 0x30;
    if (digit < 0 || digit > 9) return bytes[at] === 0x2c && at > start + FRONT.length ? seq : -1;
    seq = seq * 10 + digit;
  }
}
