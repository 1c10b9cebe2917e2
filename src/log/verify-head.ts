import { ENTRY_KINDS, type EntryKind } from "./entry.ts";

// The first members of a line, read without parsing the rest: most entries need no more to be verified.
//
// The order v, seq, time, kind, subject, policy is fixed by the format. What stands between policy and data (keys, a
// batch marker) is the writer's business and is skipped. Read byte by byte into one reused record, because at a
// million lines the garbage of a regular expression costs as much as hashing the line.

/** Where a head's members stand, counted from the start of its line. */
export interface HeadFields {
  readonly seqAt: number;
  readonly seqEnd: number;
  readonly timeAt: number;
  readonly timeEnd: number;
  readonly subjectAt: number;
  readonly subjectEnd: number;
  /** Where the head ends: the comma before the part that is not read, which holds keys, batch marker and data. */
  readonly restAt: number;
}

/** A reader of heads; its fields describe the line that `read` was called with last. */
export interface HeadReader {
  /** False where the bytes are not the start of an entry. */
  read(buffer: Buffer, start: number, end: number): boolean;
  /** 1, or what a later release writes. */
  readonly version: number;
  readonly seq: number;
  /** Null where this release does not know the kind. */
  readonly kind: EntryKind | null;
  /** As it stands; made when asked for. */
  kindText(): string;
  time(): string;
  subject(): string;
  policy(): string | null;
  /** Of a line that was read and begins at `start`. */
  fields(start: number): HeadFields;
  /** How this line's time compares with that of the line that was remembered. */
  comparedWithRemembered(): -1 | 0 | 1;
  remember(): void;
}

/** Text to compare with, four bytes at a time: a line's head is some 200 bytes, and looking at each costs too much. */
interface Text {
  readonly length: number;
  readonly words: Int32Array;
  /** The last four bytes, where the words leave some over. */
  readonly last: number | null;
}

/** @throws RangeError for less than four bytes. */
function textOf(bytes: Uint8Array): Text {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = Int32Array.from({ length: bytes.length >> 2 }, (_, i) => view.getInt32(i * 4, true));
  const last = view.getInt32(bytes.length - 4, true);
  return { length: bytes.length, words, last: bytes.length % 4 === 0 ? null : last };
}

// Words are read through a DataView, single bytes from the buffer: a DataView takes three times as long for those.

/** Memory with its length, because asking a DataView for it takes longer than reading from it. */
interface Memory {
  readonly view: DataView;
  readonly length: number;
}

const memoryOf = (bytes: Uint8Array): Memory => ({
  view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  length: bytes.byteLength,
});

/** The position after `text`; -1 where something else stands at `at`. */
function skip({ view, length: limit }: Memory, at: number, { words, last, length }: Text): number {
  const end = at + length;
  if (end > limit) return -1;
  let from = at;
  for (let i = 0; i < words.length; i += 1, from += 4) if (view.getInt32(from, true) !== words[i]) return -1;
  return last === null || view.getInt32(end - 4, true) === last ? end : -1;
}

const V = textOf(Buffer.from('{"v":'));
const SEQ = textOf(Buffer.from(',"seq":'));
const TIME = textOf(Buffer.from(',"time":"'));
const KIND = textOf(Buffer.from('","kind":"'));
const SUBJECT = textOf(Buffer.from('","subject":"'));
const POLICY = textOf(Buffer.from('","policy":'));
const DIGEST = textOf(Buffer.from('"sha256:'));
const NULL = textOf(Buffer.from("null"));
const EARLIEST = "0000-01-01T00:00:00.000Z";
const TIME_BYTES = EARLIEST.length;
const HEX_DIGITS = 64;
const MOST_DIGITS = 16;
const LONGEST_KIND = 40;
const LONGEST_SUBJECT = 64;

const QUOTE = 0x22;
const COMMA = 0x2c;
const ZERO = 0x30;
const NINE = 0x39;
const SPACE = 0x20;
const BACKSLASH = 0x5c;
const DELETE = 0x7f;
const CLOSING_BRACE = 0x7d;

const isHex = (byte: number): boolean => (byte >= ZERO && byte <= NINE) || (byte >= 0x61 && byte <= 0x66);

/** By byte, 1 for what may stand in a name: visible ASCII but the quote and the backslash. */
export const IN_NAME: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte > SPACE && byte < DELETE && byte !== QUOTE && byte !== BACKSLASH ? 1 : 0,
);

export function createHeadReader(): HeadReader {
  let buffer: Buffer = Buffer.alloc(0);
  let memory = memoryOf(buffer);
  // Plain fields: an object literal with getters is a dictionary to V8, and each look at it a call.
  const line: { -readonly [field in "version" | "seq" | "kind"]: HeadReader[field] } = {
    version: 0,
    seq: 0,
    kind: null,
  };
  let seqAt = 0;
  let seqEnd = 0;
  let timeAt = 0;
  let restAt = 0;
  let kindAt = 0;
  let kindEnd = 0;
  let subjectAt = 0;
  let subjectEnd = 0;
  let policy: string | null = null;
  let compared: -1 | 0 | 1 = 0;
  // Almost every line has the policy of the line before it, and most of its time and subject: what is the same was
  // checked then.
  const time = Buffer.from(EARLIEST);
  const timeView = new DataView(time.buffer, time.byteOffset, time.byteLength);
  const remembered = Buffer.from(EARLIEST);
  let isRemembered = true;
  const subject = new DataView(new ArrayBuffer(LONGEST_SUBJECT + 4));
  let subjectLength = 0;
  let lastPolicy: Text | null = null;
  let lastPolicyText = "";

  /** Checks the time at `from` against its form, and compares it with the one that is remembered. */
  const readTime = (from: number): boolean => {
    const { view, length } = memory;
    if (from + TIME_BYTES > length) return false;
    let same = 0;
    while (same < TIME_BYTES && view.getInt32(from + same, true) === timeView.getInt32(same, true)) same += 4;
    if (same < TIME_BYTES) {
      if (!hasTimeForm(buffer, from, same)) return false;
      for (let i = same; i < TIME_BYTES; i += 1) time[i] = buffer[from + i] as number;
    }
    // Where the line before was remembered, both times begin alike.
    compared = 0;
    for (let i = isRemembered ? same : 0; i < TIME_BYTES && compared === 0; i += 1) {
      const difference = (time[i] as number) - (remembered[i] as number);
      if (difference !== 0) compared = difference < 0 ? -1 : 1;
    }
    isRemembered = compared === 0;
    return true;
  };

  /** Reads kind and subject; the position after the subject's quote, or -1. */
  const readNames = (from: number): number => {
    kindAt = from;
    const known = knownKind(memory, from);
    line.kind = known?.kind ?? null;
    if (known !== null) {
      kindEnd = from + known.kind.length;
      subjectAt = from + known.text.length;
    } else {
      kindEnd = name(buffer, from, LONGEST_KIND);
      subjectAt = kindEnd < 0 ? -1 : skip(memory, kindEnd, SUBJECT);
    }
    subjectEnd = subjectAt < 0 ? -1 : readSubject(subjectAt);
    return subjectEnd;
  };

  /** The position of the quote after the subject at `from`; -1 where it is no name. */
  const readSubject = (from: number): number => {
    let same = 0;
    const { view, length } = memory;
    const most = Math.min(subjectLength, length - from) - 4;
    while (same <= most && view.getInt32(from + same, true) === subject.getInt32(same, true)) same += 4;
    let at = from + same;
    while (at - from < LONGEST_SUBJECT && IN_NAME[buffer[at] ?? 0] === 1) at += 1;
    if (at === from || buffer[at] !== QUOTE) return -1;
    subjectLength = at - from;
    for (let i = same; i < subjectLength; i += 1) subject.setUint8(i, buffer[from + i] as number);
    return at;
  };

  /** The end of the policy's value at `from`; -1 where it is none. */
  const readPolicy = (from: number): number => {
    const end = skip(memory, from, NULL);
    if (end > 0) {
      policy = null;
      return end;
    }
    if (lastPolicy === null || skip(memory, from, lastPolicy) < 0) {
      const hex = skip(memory, from, DIGEST);
      if (hex < 0 || hex + HEX_DIGITS >= memory.length) return -1;
      for (let i = 0; i < HEX_DIGITS; i += 1) if (!isHex(buffer[hex + i] as number)) return -1;
      if (buffer[hex + HEX_DIGITS] !== QUOTE) return -1;
      const bytes = buffer.subarray(from, hex + HEX_DIGITS + 1);
      lastPolicy = textOf(bytes);
      lastPolicyText = bytes.toString("latin1", 1, bytes.length - 1);
    }
    policy = lastPolicyText;
    return from + lastPolicy.length;
  };

  return Object.assign(line, {
    read(bytes: Buffer, start: number, end: number) {
      if (bytes !== buffer) {
        buffer = bytes;
        memory = memoryOf(bytes);
      }
      // The last byte of an entry closes its object: a line that was cut shows here already. No head reaches beyond
      // its line: every step stops at the newline, which is in none of the expected texts.
      if (end <= start || buffer[end - 1] !== CLOSING_BRACE) return false;
      let at = skip(memory, start, V);
      if (at < 0) return false;
      const versionEnd = digits(buffer, at);
      line.version = number(buffer, at, versionEnd);
      seqAt = skip(memory, versionEnd, SEQ);
      if (line.version < 1 || seqAt < 0) return false;
      seqEnd = digits(buffer, seqAt);
      line.seq = number(buffer, seqAt, seqEnd);
      timeAt = skip(memory, seqEnd, TIME);
      if (line.seq < 0 || timeAt < 0 || !readTime(timeAt)) return false;
      at = skip(memory, timeAt + TIME_BYTES, KIND);
      if (at < 0 || readNames(at) < 0) return false;
      at = skip(memory, subjectEnd, POLICY);
      if (at < 0) return false;
      restAt = readPolicy(at);
      return restAt > 0 && restAt < end && buffer[restAt] === COMMA && buffer[restAt + 1] === QUOTE;
    },
    kindText: () => buffer.toString("latin1", kindAt, kindEnd),
    time: () => time.toString("latin1"),
    subject: () => buffer.toString("latin1", subjectAt, subjectEnd),
    policy: () => policy,
    // Each by its name: an object put together of others has another shape each time, and who reads it is slow.
    fields: (start: number): HeadFields => ({
      seqAt: seqAt - start,
      seqEnd: seqEnd - start,
      timeAt: timeAt - start,
      timeEnd: timeAt + TIME_BYTES - start,
      subjectAt: subjectAt - start,
      subjectEnd: subjectEnd - start,
      restAt: restAt - start,
    }),
    comparedWithRemembered: () => compared,
    remember() {
      // Byte by byte: a call out of JavaScript takes longer than these few.
      for (let i = 0; compared !== 0 && i < TIME_BYTES; i += 1) remembered[i] = time[i] as number;
      isRemembered = true;
    },
  });
}

// Reading past the end of a buffer gives undefined, which is neither a digit nor in a name.

function digits(buffer: Buffer, from: number): number {
  let at = from;
  for (; at - from < MOST_DIGITS; at += 1) {
    const byte = buffer[at] ?? 0;
    if (byte < ZERO || byte > NINE) break;
  }
  return at;
}

/** A decimal number without leading zeroes; -1 where there is none. */
function number(buffer: Buffer, from: number, to: number): number {
  if (to === from || (to - from > 1 && buffer[from] === ZERO)) return -1;
  let value = 0;
  for (let at = from; at < to; at += 1) value = value * 10 + (buffer[at] as number) - ZERO;
  return value;
}

/** The position of the quote after a name of at most `longest` characters without escapes; -1 where there is none. */
function name(buffer: Buffer, from: number, longest: number): number {
  let at = from;
  while (at - from < longest && IN_NAME[buffer[at] ?? 0] === 1) at += 1;
  return at > from && buffer[at] === QUOTE ? at : -1;
}

/**
 * Digits and marks of `2026-11-21T10:00:00.000Z`, hours, minutes and seconds in range, days by the calendar. The bytes
 * before `from` are known to be those of a time that has the form.
 */
function hasTimeForm(buffer: Buffer, at: number, from: number): boolean {
  for (let i = from; i < TIME_BYTES; i += 1) {
    const byte = buffer[at + i] as number;
    const mark = TIME_FORM[i] as number;
    if (mark === ZERO ? byte < ZERO || byte > NINE : byte !== mark) return false;
  }
  if (from > MILLISECONDS) return true;
  if (two(buffer, at + 11) > 23 || two(buffer, at + 14) > 59 || two(buffer, at + 17) > 59) return false;
  const year = two(buffer, at) * 100 + two(buffer, at + 2);
  const month = two(buffer, at + 5);
  const day = two(buffer, at + 8);
  return month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);
}

/** Where the part of a time starts that any digits may stand in. */
const MILLISECONDS = 19;
/** The number of two digits. */
const two = (buffer: Buffer, at: number): number =>
  ((buffer[at] as number) - ZERO) * 10 + ((buffer[at + 1] as number) - ZERO);

const TIME_FORM = Buffer.from("0000-00-00T00:00:00.000Z");
const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const daysIn = (year: number, month: number): number =>
  month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : (DAYS[month - 1] as number);

interface KnownKind {
  readonly kind: EntryKind;
  /** The kind and what follows it up to the subject. */
  readonly text: Text;
}

/** Known kinds by their first and third four bytes, in which no two are alike. */
const KINDS: ReadonlyMap<number, KnownKind> = new Map(
  ENTRY_KINDS.map((kind) => {
    const bytes = Buffer.from(`${kind}","subject":"`);
    return [keyOf(bytes.readInt32LE(0), bytes.readInt32LE(8)), { kind, text: textOf(bytes) }];
  }),
);

function keyOf(first: number, third: number): number {
  return Math.imul(first, 31) ^ third;
}

function knownKind(memory: Memory, at: number): KnownKind | null {
  if (at + 12 > memory.length) return null;
  const { view } = memory;
  const known = KINDS.get(keyOf(view.getInt32(at, true), view.getInt32(at + 8, true)));
  return known !== undefined && skip(memory, at, known.text) > 0 ? known : null;
}
