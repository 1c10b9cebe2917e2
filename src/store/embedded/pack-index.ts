import { randomBytes } from "node:crypto";
import { readWhole, writeNewFile, type Files } from "./files.ts";
import type { OffsetTable } from "./offset-table.ts";

// `<pack>.idx`: where the records of the first so many bytes of a pack begin, sorted, so that a document in one of many
// packs is found with a read or two in each. A cache: what it does not cover is scanned, and every place is looked at
// before it is believed.
//
//   index  "countersign-pidx" (16) ‖ bytes of the pack that it covers (4) ‖ count (4), then count times
//          first four bytes of the digest (4) ‖ offset (4); all big-endian, ascending

const HEAD = Buffer.from("countersign-pidx");
const HEAD_BYTES = HEAD.length + 8;
const ROW_BYTES = 8;
/** Read in one go once the search is as narrow. */
const WINDOW_ROWS = 256;

export interface PackIndex {
  /** Bytes of the pack that it covers; 0 where there is none. */
  readonly covers: number;
  readonly count: number;
}

const ABSENT: PackIndex = { covers: 0, count: 0 };

/** What an index says of itself. One that is not whole counts as absent. */
export const readPackIndex = (files: Files, path: string): PackIndex =>
  withFile(files, path, ABSENT, (fd) => headOf(files, fd));

function headOf(files: Files, fd: number): PackIndex {
  const head = Buffer.alloc(HEAD_BYTES);
  if (files.read(fd, head, 0, HEAD_BYTES, 0) < HEAD_BYTES || !head.subarray(0, HEAD.length).equals(HEAD))
    return ABSENT;
  const count = head.readUInt32BE(HEAD.length + 4);
  if (files.size(fd) !== HEAD_BYTES + count * ROW_BYTES) return ABSENT;
  return { covers: head.readUInt32BE(HEAD.length), count };
}

/**
 * Offsets that an index gives for a digest's first four bytes; null where it covers less than `covers` bytes. Another
 * process may have written a longer one since somebody looked.
 */
export function findInIndex(
  files: Files,
  path: string,
  covers: number,
  prefix: number,
): readonly number[] | null {
  return withFile<readonly number[] | null>(files, path, null, (fd) => {
    const { count, ...index } = headOf(files, fd);
    if (index.covers < covers) return null;
    const rowsFrom = (first: number, rows: number): Buffer => {
      const bytes = Buffer.alloc(Math.max(0, Math.min(rows, count - first)) * ROW_BYTES);
      return bytes.subarray(0, files.read(fd, bytes, 0, bytes.length, HEAD_BYTES + first * ROW_BYTES));
    };
    // Rows before `low` are smaller, rows from `high` on are not.
    let low = 0;
    let high = count;
    while (high - low > WINDOW_ROWS) {
      const middle = Math.floor((low + high) / 2);
      const row = rowsFrom(middle, 1);
      if (row.length < ROW_BYTES) return [];
      if (row.readUInt32BE(0) < prefix) low = middle + 1;
      else high = middle;
    }
    const found: number[] = [];
    for (let first = low; ; first += WINDOW_ROWS) {
      const rows = rowsFrom(first, WINDOW_ROWS);
      for (let at = 0; at + ROW_BYTES <= rows.length; at += ROW_BYTES) {
        const here = rows.readUInt32BE(at);
        if (here === prefix) found.push(rows.readUInt32BE(at + 4));
        if (here > prefix) return found;
      }
      if (rows.length < WINDOW_ROWS * ROW_BYTES) return found;
    }
  });
}

/** Reads a whole index into a table; how much of the pack it covers. */
export function loadPackIndex(files: Files, path: string, into: OffsetTable): number {
  const { covers, count } = readPackIndex(files, path);
  const bytes = count === 0 ? null : readWhole(files, path);
  if (bytes === null) return 0;
  for (let at = HEAD_BYTES; at < bytes.length; at += ROW_BYTES) {
    into.add(bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4));
  }
  return covers;
}

/** Whole under its name, or absent. That it is there has to survive no power cut. */
export async function writePackIndex(
  files: Files,
  path: string,
  covers: number,
  table: OffsetTable,
): Promise<void> {
  const rows = table.sorted();
  const bytes = Buffer.alloc(HEAD_BYTES + rows.length * ROW_BYTES);
  HEAD.copy(bytes);
  bytes.writeUInt32BE(covers, HEAD.length);
  bytes.writeUInt32BE(rows.length, HEAD.length + 4);
  let at = HEAD_BYTES;
  for (const row of rows) at = bytes.writeBigUInt64BE(row, at);
  const temporary = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    await writeNewFile(files, temporary, bytes);
    files.rename(temporary, path);
  } catch (error) {
    files.unlink(temporary);
    throw error;
  }
}

function withFile<T>(files: Files, path: string, absent: T, use: (fd: number) => T): T {
  if (!files.exists(path)) return absent;
  const fd = files.open(path, "r");
  try {
    return use(fd);
  } finally {
    files.close(fd);
  }
}
