import { join } from "node:path";
import { CountersignError } from "../../errors.ts";
import { peekLine, PREFIX_BYTES } from "../../log/encode.ts";
import type { Files } from "./files.ts";

// Segments of the log: `000001.jsonl`, `000002.jsonl`, … Only the last one grows; a batch never spans two.

export const SEGMENT_BYTES = 64 * 1024 * 1024;

export const segmentName = (number: number): string => `${String(number).padStart(6, "0")}.jsonl`;
export const segmentPath = (logDir: string, number: number): string => join(logDir, segmentName(number));

/**
 * How many segments there are; they are numbered from 1 without a gap.
 * @throws CountersignError `LOG_CORRUPT` if one is missing.
 */
export function countSegments(files: Files, logDir: string): number {
  const numbers = files
    .list(logDir)
    .flatMap((name) => (/^\d{6,}\.jsonl$/.test(name) ? [Number.parseInt(name, 10)] : []))
    .sort((a, b) => a - b);
  for (const [i, number] of numbers.entries()) {
    if (number !== i + 1)
      throw new CountersignError("LOG_CORRUPT", `segment ${segmentName(i + 1)} is missing`);
  }
  return numbers.length;
}

/** Where reading stands, always between two batches. */
export interface Cursor {
  readonly segment: number;
  /** Byte offset in the segment. */
  readonly offset: number;
  /** Entries before it, which is also the next sequence number. */
  readonly size: number;
  /** Epoch milliseconds of the newest entry before it; 0 before the first. */
  readonly time: number;
}

export const START: Cursor = { segment: 1, offset: 0, size: 0, time: 0 };

/** A fault that names the place: segment, line (from 1) and byte offset. */
export function corruptAt(
  files: Files,
  logDir: string,
  at: { readonly segment: number; readonly offset: number; readonly seq: number },
  why: string,
): CountersignError {
  const first = at.offset === 0 ? at.seq : (firstSeqOf(files, logDir, at.segment) ?? at.seq);
  const line = at.seq - first + 1;
  const name = segmentName(at.segment);
  return new CountersignError("LOG_CORRUPT", `${name}:${line} (byte ${at.offset}): ${why}`, {
    hint: "restore the log from a copy; countersign verify shows what a copy proves",
    details: { segment: name, line, offset: at.offset },
  });
}

function firstSeqOf(files: Files, logDir: string, segment: number): number | null {
  const fd = files.open(segmentPath(logDir, segment), "r");
  try {
    const bytes = Buffer.alloc(PREFIX_BYTES);
    const count = files.read(fd, bytes, 0, bytes.length, 0);
    return peekLine(bytes.toString("latin1", 0, count))?.seq ?? null;
  } finally {
    files.close(fd);
  }
}
