import { MAX_ENTRY_BYTES } from "./entry.ts";
import type { HeadFields } from "./verify-head.ts";

// Lines that nothing has to be said about. Half of a log or more is requests that came in, one after another, and what
// there is to check of one (its form, its place, its time, and that no side of its requester is unknown) holds for it as
// it held for the line before. A line that was judged is kept as a pattern, and those that follow are compared with it,
// many at once. Where one differs, this file says nothing about it: it is read and judged like any other.

export interface PlainLines {
  /**
   * Offers a line as the pattern: one that was judged as the one due, that is a `request.received` without the mark, and
   * of which there was nothing to say. Taken where the line offered before was of the same minute: making a pattern is
   * worth it only where many follow. True where it was.
   */
  offer(bytes: Uint8Array, start: number, fields: HeadFields): boolean;
  /**
   * How many lines from the one at `line` on, before the one at `end`, follow from the pattern, the line before them: their
   * numbers are `due` and those after it, their times don't go back, and none holds the mark or is longer than an entry.
   * `bounds` holds start and end of each line, in turn.
   */
  run(bytes: Uint8Array, bounds: Int32Array, line: number, end: number, due: number): number;
}

/** Longer heads, of which there are none with the names that we write, are read each time. */
const MOST_BYTES = 256;
const WORD = 4;
/** How many words are compared, and bytes looked up, between two branches: one at a time takes twice as long. */
const AT_ONCE = 4;
const MOST_WORDS = MOST_BYTES / WORD + AT_ONCE;
/** What follows the policy: a comma, and the quote of the next member's name. */
const REST_BYTES = 2;
/** Of `2026-11-21T10:00:01.025Z`, as far as the minute goes. */
const MINUTE_BYTES = "2026-11-21T10:00:".length;

const POINT = 0x2e;
const ZERO = 0x30;
const Z = 0x5a;
const CLOSING_BRACE = 0x7d;

/** The pattern as words of memory, for a line that begins at one of the four places of a word. */
interface Pattern {
  readonly words: Int32Array;
  /** Ones where the pattern says something. */
  readonly masks: Int32Array;
  /** Words to compare; a multiple of those compared at once. */
  count: number;
}

export function createPlainLines(parts: {
  /** By byte, 1 for what may stand in a subject. */
  readonly inName: Uint8Array;
  readonly isMarked: (bytes: Uint8Array, start: number, end: number) => boolean;
}): PlainLines {
  const { inName, isMarked } = parts;
  const patterns = Array.from({ length: WORD }, (): Pattern => ({
    words: new Int32Array(MOST_WORDS),
    masks: new Int32Array(MOST_WORDS),
    count: 0,
  }));
  let fields: HeadFields | null = null;
  const minute = new Uint8Array(MINUTE_BYTES);
  /** Milliseconds within its minute of the newest line. */
  let within = 0;
  let known: Uint8Array | null = null;
  /** All whole words of the known bytes' memory. */
  let memory: Int32Array = new Int32Array(0);

  const isSameMinute = (bytes: Uint8Array, at: number): boolean => {
    let isSame = true;
    for (let i = 0; i < MINUTE_BYTES; i += 1) {
      isSame &&= minute[i] === bytes[at + i];
      minute[i] = bytes[at + i] as number;
    }
    return isSame;
  };

  return {
    offer(bytes, start, offered) {
      fields = null;
      const length = offered.restAt + REST_BYTES;
      if (!isSameMinute(bytes, start + offered.timeAt) || length > MOST_BYTES) return false;
      fields = offered;
      within = millisecondsAt(bytes, start + offered.timeAt + MINUTE_BYTES);
      for (const [place, pattern] of patterns.entries()) {
        pattern.count = AT_ONCE * Math.ceil((place + length) / (AT_ONCE * WORD));
        const words = new Uint8Array(pattern.words.buffer);
        const masks = new Uint8Array(pattern.masks.buffer).fill(0);
        words.set(bytes.subarray(start, start + length), place);
        masks.fill(0xff, place, place + length);
        masks.fill(0, place + offered.seqAt, place + offered.seqEnd);
        masks.fill(0, place + offered.timeAt + MINUTE_BYTES, place + offered.timeEnd);
        masks.fill(0, place + offered.subjectAt, place + offered.subjectEnd);
      }
      return true;
    },
    run(bytes, bounds, line, end, due) {
      if (fields === null) return 0;
      const { seqAt, seqEnd, timeAt, subjectAt, subjectEnd, restAt } = fields;
      if (bytes !== known) {
        known = bytes;
        memory = new Int32Array(bytes.buffer, 0, bytes.buffer.byteLength >> 2);
      }
      const words = memory;
      const offset = bytes.byteOffset;
      let newest = within;
      let at = line;
      for (; at < end; at += 1) {
        const start = bounds[2 * at] as number;
        const stop = bounds[2 * at + 1] as number;
        if (start + restAt + REST_BYTES > stop || stop - start > MAX_ENTRY_BYTES) break;
        if (bytes[stop - 1] !== CLOSING_BRACE) break;
        if (!fits(words, offset + start, patterns[(offset + start) & 3] as Pattern)) break;
        if (numberAt(bytes, start + seqAt, start + seqEnd) !== due + at - line) break;
        const milliseconds = millisecondsAt(bytes, start + timeAt + MINUTE_BYTES);
        if (milliseconds < newest) break;
        if (!areAll(inName, bytes, start + subjectAt, start + subjectEnd)) break;
        if (isMarked(bytes, start + restAt, stop)) break;
        newest = milliseconds;
      }
      within = newest;
      return at - line;
    },
  };
}

function fits(memory: Int32Array, start: number, { words, masks, count }: Pattern): boolean {
  const first = start >> 2;
  // So near the end of the memory, a line is read like any other.
  if (first + count > memory.length) return false;
  for (let i = 0; i < count; i += AT_ONCE) {
    const at = first + i;
    const differing =
      (((memory[at] as number) ^ (words[i] as number)) & (masks[i] as number)) |
      (((memory[at + 1] as number) ^ (words[i + 1] as number)) & (masks[i + 1] as number)) |
      (((memory[at + 2] as number) ^ (words[i + 2] as number)) & (masks[i + 2] as number)) |
      (((memory[at + 3] as number) ^ (words[i + 3] as number)) & (masks[i + 3] as number));
    if (differing !== 0) return false;
  }
  return true;
}

/** Whether the table has a 1 for each of the bytes. */
function areAll(table: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  let at = from;
  for (; at + AT_ONCE <= to; at += AT_ONCE) {
    const isIn =
      (table[bytes[at] as number] as number) &
      (table[bytes[at + 1] as number] as number) &
      (table[bytes[at + 2] as number] as number) &
      (table[bytes[at + 3] as number] as number);
    if (isIn !== 1) return false;
  }
  while (at < to && table[bytes[at] as number] === 1) at += 1;
  return at >= to;
}

/** The decimal number; -1 where another byte stands in it, or a zero before it. */
function numberAt(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at += 1) {
    const digit = (bytes[at] as number) - ZERO;
    if (digit < 0 || digit > 9 || (digit === 0 && at === from && to - from > 1)) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/** The milliseconds of `01.025Z`; -1 where that is not the form. */
function millisecondsAt(bytes: Uint8Array, at: number): number {
  const seconds = twoDigits(bytes, at);
  const hundredths = twoDigits(bytes, at + 3);
  const last = (bytes[at + 5] as number) - ZERO;
  const isTime = bytes[at + 2] === POINT && bytes[at + 6] === Z && last >= 0 && last <= 9;
  if (!isTime || seconds < 0 || seconds > 59 || hundredths < 0) return -1;
  return seconds * 1_000 + hundredths * 10 + last;
}

function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = (bytes[at] as number) - ZERO;
  const ones = (bytes[at + 1] as number) - ZERO;
  return tens < 0 || tens > 9 || ones < 0 || ones > 9 ? -1 : tens * 10 + ones;
}
