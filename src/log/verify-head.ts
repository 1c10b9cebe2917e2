import { ENTRY_KINDS, type EntryKind } from "./entry.ts";

// The first members of a line, read without parsing the rest: most entries need no more to be verified.
//
// The order v, seq, time, kind, subject, policy is fixed by the format. What stands between policy and data (keys, a
// batch marker) is the writer's business and is skipped. Read byte by byte into one reused record, because at a
// million lines the garbage of a regular expression costs as much as hashing the line.

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
  /** How this line's time compares with that of the line that was remembered. */
  comparedWithRemembered(): -1 | 0 | 1;
  remember(): void;
}

const V = Buffer.from('{"v":');
const SEQ = Buffer.from(',"seq":');
const TIME = Buffer.from(',"time":"');
const KIND = Buffer.from('","kind":"');
const SUBJECT = Buffer.from('","subject":"');
const POLICY = Buffer.from('","policy":');
const DIGEST = Buffer.from('"sha256:');
const NULL = Buffer.from("null");
const MEMBER = Buffer.from(',"');
const EARLIEST = "0000-01-01T00:00:00.000Z";
const TIME_BYTES = EARLIEST.length;
const HEX_DIGITS = 64;
const MOST_DIGITS = 16;
const LONGEST_KIND = 40;
const LONGEST_SUBJECT = 64;

const QUOTE = 0x22;
const ZERO = 0x30;
const NINE = 0x39;
const SPACE = 0x20;
const BACKSLASH = 0x5c;
const DELETE = 0x7f;

const isHex = (byte: number): boolean => (byte >= ZERO && byte <= NINE) || (byte >= 0x61 && byte <= 0x66);

export function createHeadReader(): HeadReader {
  let buffer: Buffer = Buffer.alloc(0);
  let version = 0;
  let seq = 0;
  let kind: EntryKind | null = null;
  let timeAt = 0;
  let kindAt = 0;
  let kindEnd = 0;
  let subjectAt = 0;
  let subjectEnd = 0;
  let policy: string | null = null;
  let compared: -1 | 0 | 1 = 0;
  // Almost every line has the policy of the line before it, and most of its time: what is the same was checked then.
  const time = Buffer.from(EARLIEST);
  const remembered = Buffer.from(EARLIEST);
  let isRemembered = true;
  let lastPolicy = Buffer.alloc(0);
  let lastPolicyText = "";

  /** Checks the time at `from` against its form, and compares it with the one that is remembered. */
  const readTime = (from: number): boolean => {
    let same = 0;
    while (same < TIME_BYTES && buffer[from + same] === time[same]) same += 1;
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

  /** The end of the policy's value at `from`; -1 where it is none. */
  const readPolicy = (from: number): number => {
    const end = skip(buffer, from, NULL);
    if (end > 0) {
      policy = null;
      return end;
    }
    if (lastPolicy.length === 0 || skip(buffer, from, lastPolicy) < 0) {
      const hex = skip(buffer, from, DIGEST);
      if (hex < 0) return -1;
      for (let i = 0; i < HEX_DIGITS; i += 1) if (!isHex(buffer[hex + i] as number)) return -1;
      if (buffer[hex + HEX_DIGITS] !== QUOTE) return -1;
      lastPolicy = Buffer.from(buffer.subarray(from, hex + HEX_DIGITS + 1));
      lastPolicyText = lastPolicy.toString("latin1", 1, lastPolicy.length - 1);
    }
    policy = lastPolicyText;
    return from + lastPolicy.length;
  };

  return {
    read(line, start, end) {
      buffer = line;
      // The last byte of an entry closes its object: a line that was cut shows here already. No head reaches beyond
      // its line: every step stops at the newline, which is in none of the expected texts.
      if (line[end - 1] !== 0x7d) return false;
      let at = skip(line, start, V);
      if (at < 0) return false;
      let digitsEnd = digits(line, at);
      version = number(line, at, digitsEnd);
      at = skip(line, digitsEnd, SEQ);
      if (version < 1 || at < 0) return false;
      digitsEnd = digits(line, at);
      seq = number(line, at, digitsEnd);
      timeAt = skip(line, digitsEnd, TIME);
      if (seq < 0 || timeAt < 0 || !readTime(timeAt)) return false;
      kindAt = skip(line, timeAt + TIME_BYTES, KIND);
      if (kindAt < 0) return false;
      kindEnd = name(line, kindAt, LONGEST_KIND);
      subjectAt = kindEnd < 0 ? -1 : skip(line, kindEnd, SUBJECT);
      if (subjectAt < 0) return false;
      kind = knownKind(line, kindAt, kindEnd);
      subjectEnd = name(line, subjectAt, LONGEST_SUBJECT);
      at = subjectEnd < 0 ? -1 : skip(line, subjectEnd, POLICY);
      if (at < 0) return false;
      at = readPolicy(at);
      return at > 0 && skip(line, at, MEMBER) > 0 && at < end;
    },
    get version() {
      return version;
    },
    get seq() {
      return seq;
    },
    get kind() {
      return kind;
    },
    kindText: () => buffer.toString("latin1", kindAt, kindEnd),
    time: () => time.toString("latin1"),
    subject: () => buffer.toString("latin1", subjectAt, subjectEnd),
    policy: () => policy,
    comparedWithRemembered: () => compared,
    remember() {
      if (compared !== 0) for (let i = 0; i < TIME_BYTES; i += 1) remembered[i] = time[i] as number;
      isRemembered = true;
    },
  };
}

/** The position after `text`; -1 where something else stands at `at`. */
function skip(line: Buffer, at: number, text: Uint8Array): number {
  const length = text.length;
  for (let i = 0; i < length; i += 1) if (line[at + i] !== text[i]) return -1;
  return at + length;
}

function digits(line: Buffer, from: number): number {
  let at = from;
  while (at - from < MOST_DIGITS && (line[at] as number) >= ZERO && (line[at] as number) <= NINE) at += 1;
  return at;
}

/** A decimal number without leading zeroes; -1 where there is none. */
function number(line: Buffer, from: number, to: number): number {
  if (to === from || (line[from] === ZERO && to - from > 1)) return -1;
  let value = 0;
  for (let at = from; at < to; at += 1) value = value * 10 + (line[at] as number) - ZERO;
  return value;
}

/** The position of the quote after a name of at most `longest` characters without escapes; -1 where there is none. */
function name(line: Buffer, from: number, longest: number): number {
  for (let at = from; at - from <= longest; at += 1) {
    const byte = line[at] as number;
    if (byte === QUOTE) return at > from ? at : -1;
    if (byte <= SPACE || byte >= DELETE || byte === BACKSLASH) return -1;
  }
  return -1;
}

/**
 * Digits and marks of `2026-11-21T10:00:00.000Z`, hours, minutes and seconds in range, days by the calendar. The bytes
 * before `from` are known to be those of a time that has the form.
 */
function hasTimeForm(line: Buffer, at: number, from: number): boolean {
  for (let i = from; i < TIME_BYTES; i += 1) {
    const byte = line[at + i] as number;
    const mark = TIME_FORM[i] as number;
    if (mark === ZERO ? byte < ZERO || byte > NINE : byte !== mark) return false;
  }
  if (from > MILLISECONDS) return true;
  if (twoDigits(line, at + 11) > 23 || twoDigits(line, at + 14) > 59 || twoDigits(line, at + 17) > 59)
    return false;
  const year = twoDigits(line, at) * 100 + twoDigits(line, at + 2);
  const month = twoDigits(line, at + 5);
  const day = twoDigits(line, at + 8);
  return month >= 1 && month <= 12 && day >= 1 && day <= daysIn(year, month);
}

/** Where the part of a time starts that any digits may stand in. */
const MILLISECONDS = 19;
const twoDigits = (line: Buffer, at: number): number =>
  ((line[at] as number) - ZERO) * 10 + ((line[at + 1] as number) - ZERO);

const TIME_FORM = Buffer.from("0000-00-00T00:00:00.000Z");
const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const daysIn = (year: number, month: number): number =>
  month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : (DAYS[month - 1] as number);

/** Known kinds by their length and a letter: no string is made to look one up. */
const BY_SHAPE: readonly (readonly { readonly kind: EntryKind; readonly bytes: Buffer }[])[] = (() => {
  const table: { kind: EntryKind; bytes: Buffer }[][] = [];
  for (const kind of ENTRY_KINDS) {
    const bytes = Buffer.from(kind);
    (table[shapeOf(bytes, 0, bytes.length)] ??= []).push({ kind, bytes });
  }
  return Array.from(table, (kinds) => kinds ?? []);
})();

function shapeOf(bytes: Uint8Array, from: number, to: number): number {
  return (to - from) * 32 + ((bytes[to - 3] as number) & 31);
}

function knownKind(line: Buffer, from: number, to: number): EntryKind | null {
  const candidates = BY_SHAPE[shapeOf(line, from, to)];
  if (candidates === undefined) return null;
  for (let i = 0; i < candidates.length; i += 1) {
    const { kind, bytes } = candidates[i] as { kind: EntryKind; bytes: Buffer };
    if (bytes.length === to - from && skip(line, from, bytes) > 0) return kind;
  }
  return null;
}
