import { parseTimestamp, type Timestamp } from "../base/clock.ts";
import { err, ok, type Result } from "../base/result.ts";
import { CountersignError } from "../errors.ts";
import { ENTRY_KINDS, MAX_ENTRY_BYTES, type Entry, type EntryDraft } from "./entry.ts";

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
  const keys = draft.keys?.map(
    ({ key, until }) => `{"key":${JSON.stringify(key)},"until":${JSON.stringify(until)}}`,
  );
  return {
    front:
      `"kind":"${draft.kind}","subject":${JSON.stringify(draft.subject)},"policy":${JSON.stringify(draft.policy)}` +
      (keys === undefined ? "" : `,"keys":[${keys.join(",")}]`),
    data: JSON.stringify(draft.data),
  };
}

/** A line without its newline. */
export interface EncodedLine {
  readonly text: string;
  /** Length in UTF-8. */
  readonly bytes: number;
}

/**
 * The line of an entry. `more` counts the entries of the same batch that follow.
 * @throws CountersignError `ENTRY_TOO_LARGE`
 */
export function encodeEntry(
  draft: EncodedDraft,
  at: { readonly seq: number; readonly time: Timestamp; readonly more: number },
): EncodedLine {
  const more = at.more === 0 ? "" : `,"more":${at.more}`;
  const text = `${linePrefix(at.seq, at.time)}${draft.front}${more},"data":${draft.data}}`;
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_ENTRY_BYTES) {
    throw new CountersignError(
      "ENTRY_TOO_LARGE",
      `an entry of ${bytes} bytes; at most ${MAX_ENTRY_BYTES} fit`,
      {
        details: { bytes, limit: MAX_ENTRY_BYTES },
      },
    );
  }
  return { text, bytes };
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
