import { closeSync, openSync, read, readSync, statSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Place } from "./finding.ts";
import { createLeafHasher, createThreadedLeafHasher, type Chunk, type LeafHasher } from "./leaf-hasher.ts";
import { createHashList, HASH_BYTES, putDigest } from "./hash-list.ts";

// Reads a log line by line, fast: no copy of a line. Three chunks go round: one is read, the lines of the one before it are
// found and hashed, and those before them are judged. Where this thread does all of that, a thread of Node's that does
// nothing else reads ahead; where two threads hash, both processors are busy, and waiting for a third costs more than reading.

/** Lines as they lie in the reader's memory, with their leaves; valid during the call only. */
export type Lines = Pick<Chunk, "buffer" | "bounds" | "leaves" | "lines">;

/** Told of the lines of a log, in order. `at` says where the first stands; by the end of the call, the one after them. */
export type OnLines = (lines: Lines, at: Cursor) => void;

/** Where the line stands: one record for all lines, so whoever keeps it copies it with `placeOf`. */
export interface Cursor {
  segment: string;
  line: number;
  offset: number;
}

/** Moves the cursor over `count` lines from the one at `line` on. */
export function pass(at: Cursor, { bounds }: Lines, line: number, count: number): void {
  // Before the first line of all there is none whose end could be asked for.
  if (count === 0) return;
  at.offset += (bounds[2 * (line + count) - 1] as number) + 1 - (bounds[2 * line] as number);
  at.line += count;
}

export const placeOf = ({ segment, line, offset }: Cursor): Place => ({ segment, line, offset });

export interface LinesRead {
  /** Bytes after the last newline, and where they stand; null where the log ends in a newline. */
  readonly torn: { readonly bytes: number; readonly place: Place } | null;
  readonly bytes: number;
}

/** Big enough that handing a chunk to another thread costs nothing, small enough for the processor's cache. */
const CHUNK = 512 * 1024;
/** What is kept in front of a chunk for a line that began in the one before; an entry has at most 64 KiB. */
const CARRY = 128 * 1024;
/** How much is read before other work of the process gets its turn. */
const TURN = 8 * 1024 * 1024;
/** Logs below this are verified before a second thread has started. */
const WORTH_A_THREAD = 64 * 1024 * 1024;
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

/** Hands on every line of every segment, in order. `onChunk` gets the bytes read so far. */
export async function readSegments(
  directory: string,
  names: readonly string[],
  threads: 1 | 2 | "auto",
  onLines: OnLines,
  onChunk: (bytes: number) => void,
): Promise<LinesRead> {
  const sizes = names.map((name) => statSync(join(directory, name)).size);
  const isBig = sizes.reduce((sum, size) => sum + size, 0) >= WORTH_A_THREAD && availableParallelism() > 1;
  const inThread = threads === "auto" ? isBig : threads === 2;
  const room = Math.min(CHUNK, Math.max(1, ...sizes));
  const hasher = (inThread ? createThreadedLeafHasher : createLeafHasher)(CARRY + room);
  let [chunk, next, before] = hasher.chunks;
  let total = 0;
  let turn = 0;
  let torn: LinesRead["torn"] = null;
  try {
    for (const name of names) {
      const at: Cursor = { segment: name, line: 1, offset: 0 };
      // A line does not go on in the next segment: what is left of one is torn, whatever follows.
      let carried = 0;
      let hashing: Chunk | null = null;
      const file = openSync(join(directory, name), "r");
      let ahead = inThread ? null : readAhead(file, chunk, room);
      try {
        for (;;) {
          const bytes = await (ahead ?? readSync(file, chunk.buffer, CARRY, room, null));
          if (bytes === 0) break;
          if (ahead !== null) ahead = readAhead(file, next, room);
          const end = CARRY + bytes;
          carried = findLines(chunk, CARRY - carried, end);
          hasher.start(chunk);
          // In front of what is being read.
          chunk.buffer.copy(next.buffer, CARRY - carried, end - carried, end);
          if (hashing !== null) await handOn(hasher, hashing, onLines, at);
          hashing = chunk;
          [chunk, next, before] = [next, before, chunk];
          total += bytes;
          turn += bytes;
          if (turn < TURN) continue;
          turn = 0;
          onChunk(total);
          await new Promise((resume) => setImmediate(resume));
        }
        if (hashing !== null) await handOn(hasher, hashing, onLines, at);
      } finally {
        // Not while it is being read: its number could be another file's before the read has begun.
        await ahead?.catch(() => undefined);
        closeSync(file);
      }
      if (carried > 0) torn = { bytes: carried, place: placeOf(at) };
    }
  } finally {
    await hasher.close();
  }
  onChunk(total);
  return { torn, bytes: total };
}

/** Reads what comes next into the chunk, behind the place for what is carried; the number of bytes. */
function readAhead(file: number, { buffer }: Chunk, room: number): Promise<number> {
  const reading = new Promise<number>((resolve, reject) => {
    read(file, buffer, CARRY, room, null, (error, bytes) =>
      error === null ? resolve(bytes) : reject(error),
    );
  });
  // Looked at one chunk later; until then a failure is nobody's, and nothing that the process should end for.
  reading.catch(() => undefined);
  return reading;
}

/** Notes where the lines from `start` to `end` stand; the number of bytes that are left of one. */
function findLines(chunk: Chunk, start: number, end: number): number {
  const { buffer, bounds } = chunk;
  chunk.lines = 0;
  const note = (from: number, to: number): void => {
    // The newline of the line before, or a byte that nobody looks at.
    buffer[from - 1] = 0;
    bounds[chunk.lines * 2] = from;
    bounds[chunk.lines * 2 + 1] = to;
    chunk.lines += 1;
  };
  // What was carried over holds no newline, so the search starts after it.
  for (let from = CARRY; ; from = start) {
    const newline = buffer.indexOf(0x0a, from);
    if (newline < 0 || newline >= end) break;
    note(start, newline);
    start = newline + 1;
  }
  if (end - start < CARRY) return end - start;
  // Longer than any entry can be: handed on as it is, which the caller will not take for one.
  note(start, end);
  return 0;
}

async function handOn(hasher: LeafHasher, chunk: Chunk, onLines: OnLines, at: Cursor): Promise<void> {
  await hasher.finish(chunk);
  onLines(chunk, at);
}

/** The same over lines that a store hands out. */
export async function readLines(
  lines: AsyncIterable<{ readonly bytes: Uint8Array }>,
  onLines: OnLines,
  onChunk: (bytes: number) => void,
): Promise<LinesRead> {
  let buffer = Buffer.allocUnsafeSlow(CARRY);
  const bounds = Int32Array.of(1, 1);
  const leaves = createHashList(new ArrayBuffer(HASH_BYTES));
  const at: Cursor = { segment: "store", line: 1, offset: 0 };
  for await (const { bytes } of lines) {
    if (bytes.length >= buffer.length) buffer = Buffer.allocUnsafeSlow(bytes.length + 1);
    buffer.set(bytes, 1);
    buffer[0] = 0;
    bounds[1] = 1 + bytes.length;
    putDigest(leaves, 0, buffer.subarray(0, 1 + bytes.length));
    onLines({ buffer, bounds, leaves, lines: 1 }, at);
    if (at.line % 4096 === 0) onChunk(at.offset);
  }
  return { bytes: at.offset, torn: null };
}
