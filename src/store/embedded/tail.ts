import { parseTimestamp } from "../../base/clock.ts";
import { decodeEntry } from "../../log/encode.ts";
import { MAX_ENTRY_BYTES, type Entry } from "../../log/entry.ts";
import { leafHashInPlace, type TreeHash } from "../../log/merkle.ts";
import type { Cursor } from "./segments.ts";

const NEWLINE = 0x0a;

export interface TailBatch {
  readonly entries: readonly Entry[];
  readonly leaves: readonly TreeHash[];
}

export interface TailRead {
  readonly batches: readonly TailBatch[];
  /** Behind the last complete batch. What follows it in the bytes is incomplete. */
  readonly cursor: Cursor;
  /** The first line that cannot stand there; nothing after it was read. */
  readonly bad: { readonly offset: number; readonly seq: number; readonly why: string } | null;
}

/**
 * The complete batches (S1) at the start of `bytes`, which begin at `from`. The first byte of `prefixed` is spare and
 * the bytes start behind it: leaf hashing needs the place, and overwrites newlines.
 */
export function readBatches(prefixed: Buffer, from: Cursor): TailRead {
  const batches: TailBatch[] = [];
  let cursor = from;
  let entries: Entry[] = [];
  let leaves: TreeHash[] = [];
  let time = from.time;
  let due: number | undefined;
  let start = 1;
  for (;;) {
    const end = prefixed.indexOf(NEWLINE, start);
    if (end === -1) return { batches, cursor, bad: null };
    const seq = cursor.size + entries.length;
    const bad = (why: string): TailRead => ({
      batches,
      cursor,
      bad: { offset: from.offset + start - 1, seq, why },
    });
    if (end - start > MAX_ENTRY_BYTES) return bad(`a line of ${end - start} bytes`);
    const decoded = decodeEntry(prefixed.toString("utf8", start, end), seq);
    if (!decoded.ok) return bad(decoded.error);
    const entry = decoded.value;
    const at = parseTimestamp(entry.time);
    if (at < time) return bad("its time is before that of the entry before it");
    if (due !== undefined && (entry.more ?? 0) !== due) return bad("the batch before it is incomplete");
    time = at;
    entries.push(entry);
    prefixed[start - 1] = 0;
    leaves.push(leafHashInPlace(prefixed.subarray(start - 1, end)));
    start = end + 1;
    due = entry.more === undefined ? undefined : entry.more - 1;
    if (due === undefined) {
      batches.push({ entries, leaves });
      cursor = { segment: from.segment, offset: from.offset + start - 1, size: seq + 1, time };
      entries = [];
      leaves = [];
    }
  }
}
