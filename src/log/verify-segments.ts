import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Place } from "./finding.ts";

// Reads a log line by line, fast: large reads, the next one under way while this one is hashed, and no copy of a line.
// The byte before each line is the reader's to overwrite (the newline of the line before), so that the leaf's 0x00
// can stand there.

/** One line as it lies in the reader's buffer, without its newline; valid during the call only. */
export type OnLine = (buffer: Buffer, start: number, end: number, place: Place) => void;

export interface LinesRead {
  /** Bytes after the last newline, and where they stand; null where the log ends in a newline. */
  readonly torn: { readonly bytes: number; readonly place: Place } | null;
  readonly bytes: number;
}

const CHUNK = 4 * 1024 * 1024;
/** What is kept in front of a chunk for a line that began in the one before; an entry has at most 64 KiB. */
const CARRY = 1024 * 1024;
const SEGMENT = /^\d{1,15}\.jsonl$/;

/** Segment files of a log directory, in order. */
export async function segmentNames(directory: string): Promise<readonly string[]> {
  const names = (await readdir(directory)).filter((name) => SEGMENT.test(name));
  return names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
}

/** The newest checkpoint beside the segments, or null. */
export async function readCheckpointFile(directory: string): Promise<string | null> {
  try {
    return await readFile(join(directory, "checkpoint"), "utf8");
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
  let total = 0;
  let torn: LinesRead["torn"] = null;
  for (const name of names) {
    // A line does not go on in the next segment: what is left of one is torn, whatever follows.
    const read = await readSegment(join(directory, name), name, onLine, (bytes) => onChunk(total + bytes));
    total += read.bytes;
    torn = read.torn ?? torn;
  }
  return { torn, bytes: total };
}

async function readSegment(
  path: string,
  segment: string,
  onLine: OnLine,
  onChunk: (bytes: number) => void,
): Promise<LinesRead> {
  const file = await open(path, "r");
  try {
    // Two buffers take turns: one is read into while the lines of the other are hashed.
    let current = Buffer.allocUnsafeSlow(CARRY + CHUNK);
    let next = Buffer.allocUnsafeSlow(CARRY + CHUNK);
    let carried = 0;
    let line = 1;
    let offset = 0;
    let bytes = 0;
    let reading = file.read(current, CARRY, CHUNK, 0);
    for (;;) {
      const { bytesRead } = await reading;
      if (bytesRead === 0) break;
      bytes += bytesRead;
      reading = file.read(next, CARRY, CHUNK, bytes);
      const end = CARRY + bytesRead;
      let start = CARRY - carried;
      for (;;) {
        const newline = current.indexOf(0x0a, Math.max(start, CARRY));
        if (newline < 0 || newline >= end) break;
        onLine(current, start, newline, { segment, line, offset });
        offset += newline + 1 - start;
        start = newline + 1;
        line += 1;
      }
      carried = end - start;
      // Longer than any entry can be: handed on as it is, which the caller will not take for one.
      if (carried >= CARRY) {
        onLine(current, start, end, { segment, line, offset });
        offset += carried;
        carried = 0;
      }
      if (carried > 0) current.copy(next, CARRY - carried, start, end);
      [current, next] = [next, current];
      onChunk(bytes);
    }
    return { bytes, torn: carried === 0 ? null : { bytes: carried, place: { segment, line, offset } } };
  } finally {
    await file.close();
  }
}

/** The same over lines that a store hands out. */
export async function readLines(
  lines: AsyncIterable<{ readonly bytes: Uint8Array }>,
  onLine: OnLine,
  onChunk: (bytes: number) => void,
): Promise<LinesRead> {
  let buffer = Buffer.allocUnsafeSlow(CARRY);
  let line = 1;
  let offset = 0;
  for await (const { bytes } of lines) {
    if (bytes.length >= buffer.length) buffer = Buffer.allocUnsafeSlow(bytes.length + 1);
    buffer.set(bytes, 1);
    onLine(buffer, 1, 1 + bytes.length, { segment: "store", line, offset });
    offset += bytes.length + 1;
    if (line % 4096 === 0) onChunk(offset);
    line += 1;
  }
  return { bytes: offset, torn: null };
}
