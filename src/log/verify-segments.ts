import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Place } from "./finding.ts";

// Reads a log line by line, fast: no copy of a line, and the next chunk is read while this one is hashed. The byte
// before each line is the reader's to overwrite (the newline of the line before), so that the leaf's 0x00
// can stand there.

/** One line as it lies in the reader's buffer, without its newline; valid during the call only. */
export type OnLine = (buffer: Buffer, start: number, end: number, at: Cursor) => void;

/** Where the line stands: one record for all lines, so whoever keeps it copies it with `placeOf`. */
export interface Cursor {
  segment: string;
  line: number;
  offset: number;
}

export const placeOf = ({ segment, line, offset }: Cursor): Place => ({ segment, line, offset });

export interface LinesRead {
  /** Bytes after the last newline, and where they stand; null where the log ends in a newline. */
  readonly torn: { readonly bytes: number; readonly place: Place } | null;
  readonly bytes: number;
}

/** Small enough to stay in the processor's cache between reading and hashing. */
const CHUNK = 512 * 1024;
/** What is kept in front of a chunk for a line that began in the one before; an entry has at most 64 KiB. */
const CARRY = 128 * 1024;
const SEGMENT = /^\d{1,15}\.jsonl$/;

/** Segment files of a log directory, in order. */
export async function segmentNames(directory: string): Promise<readonly string[]> {
  const names = (await readdir(directory)).filter((name) => SEGMENT.test(name));
  return names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
}

/**
 * The newest checkpoint beside the segments; null where none was written yet. The file is written in place: power that
 * fails at the wrong moment leaves a NUL too many or a newline too few, which changes nothing of what was signed.
 */
export async function readCheckpointFile(directory: string): Promise<string | null> {
  try {
    const text = (await readFile(join(directory, "checkpoint"), "utf8")).replace(/[\0\n]+$/, "");
    return text === "" ? null : `${text}\n`;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Calls `onLine` for every line of every segment. `onChunk` gets the bytes read so far. */
export async function readSegments(
  directory: string,
  names: readonly string[],
  onLine: OnLine,
  onChunk: (bytes: number) => void,
): Promise<LinesRead> {
  // Two buffers take turns: one is read into while the lines of the other are hashed.
  let buffer = Buffer.allocUnsafeSlow(CARRY + CHUNK);
  let other = Buffer.allocUnsafeSlow(CARRY + CHUNK);
  let total = 0;
  let torn: LinesRead["torn"] = null;
  for (const name of names) {
    const at: Cursor = { segment: name, line: 1, offset: 0 };
    // A line does not go on in the next segment: what is left of one is torn, whatever follows.
    let carried = 0;
    const file = await open(join(directory, name), "r");
    try {
      let reading = file.read(buffer, CARRY, CHUNK, null);
      for (;;) {
        const { bytesRead } = await reading;
        if (bytesRead === 0) break;
        reading = file.read(other, CARRY, CHUNK, null);
        carried = eachLine(buffer, CARRY - carried, CARRY + bytesRead, onLine, at);
        buffer.copy(other, CARRY - carried, CARRY + bytesRead - carried, CARRY + bytesRead);
        [buffer, other] = [other, buffer];
        total += bytesRead;
        onChunk(total);
      }
    } finally {
      await file.close();
    }
    if (carried > 0) torn = { bytes: carried, place: placeOf(at) };
  }
  return { torn, bytes: total };
}

/** Hands on the whole lines from `start` to `end`; the number of bytes that are left of one. */
function eachLine(buffer: Buffer, start: number, end: number, onLine: OnLine, at: Cursor): number {
  // What was carried over holds no newline, so the search starts after it.
  for (let from = CARRY; ; from = start) {
    const newline = buffer.indexOf(0x0a, from);
    if (newline < 0 || newline >= end) break;
    onLine(buffer, start, newline, at);
    at.offset += newline + 1 - start;
    at.line += 1;
    start = newline + 1;
  }
  if (end - start < CARRY) return end - start;
  // Longer than any entry can be: handed on as it is, which the caller will not take for one.
  onLine(buffer, start, end, at);
  at.offset += end - start;
  return 0;
}

/** The same over lines that a store hands out. */
export async function readLines(
  lines: AsyncIterable<{ readonly bytes: Uint8Array }>,
  onLine: OnLine,
  onChunk: (bytes: number) => void,
): Promise<LinesRead> {
  let buffer = Buffer.allocUnsafeSlow(CARRY);
  const at: Cursor = { segment: "store", line: 1, offset: 0 };
  for await (const { bytes } of lines) {
    if (bytes.length >= buffer.length) buffer = Buffer.allocUnsafeSlow(bytes.length + 1);
    buffer.set(bytes, 1);
    onLine(buffer, 1, 1 + bytes.length, at);
    at.offset += bytes.length + 1;
    at.line += 1;
    if (at.line % 4096 === 0) onChunk(at.offset);
  }
  return { bytes: at.offset, torn: null };
}
