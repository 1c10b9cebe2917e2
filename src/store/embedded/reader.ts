import { peekLine, PREFIX_BYTES, seqAt } from "../../log/encode.ts";
import { MAX_ENTRY_BYTES } from "../../log/entry.ts";
import type { StoredLine } from "../store.ts";
import type { Files } from "./files.ts";
import { corruptAt, segmentPath, type Cursor } from "./segments.ts";

// Reads what is durable: up to a head that the caller names. Every path checks that sequence numbers
// neither skip nor repeat.

export interface LogReader {
  /** Lines from `fromSeq` on. */
  lines(fromSeq: number, head: Cursor): AsyncIterable<StoredLine>;
  /** Lines from the first entry on whose time is at least `time`, epoch milliseconds. */
  linesSince(time: number, head: Cursor): AsyncIterable<StoredLine>;
  /** The last `limit` lines, newest first. */
  newest(limit: number, head: Cursor): readonly StoredLine[];
}

interface Place {
  readonly segment: number;
  readonly offset: number;
  readonly seq: number;
}
type Peek = { readonly seq: number; readonly time: number };

const CHUNK_BYTES = 512 * 1024;
const NEWLINE = 0x0a;

/** Reader of the log in `logDir`. */
export function createLogReader(files: Files, logDir: string): LogReader {
  /** First lines of segments; they never change. */
  const firsts = new Map<number, Peek>();

  const withSegment = <T>(segment: number, use: (fd: number) => T): T => {
    const fd = files.open(segmentPath(logDir, segment), "r");
    try {
      return use(fd);
    } finally {
      files.close(fd);
    }
  };
  const end = (segment: number, head: Cursor): number =>
    segment === head.segment ? head.offset : (files.stat(segmentPath(logDir, segment))?.size ?? 0);
  const peekAt = (fd: number, segment: number, offset: number, seq: number): Peek => {
    const bytes = Buffer.alloc(PREFIX_BYTES);
    const count = files.read(fd, bytes, 0, bytes.length, offset);
    const peek = peekLine(bytes.toString("latin1", 0, count));
    if (peek === null) throw corruptAt(files, logDir, { segment, offset, seq }, "not the start of an entry");
    return peek;
  };
  const first = (segment: number): Peek => {
    let peek = firsts.get(segment);
    if (peek === undefined) {
      peek = withSegment(segment, (fd) => peekAt(fd, segment, 0, 0));
      firsts.set(segment, peek);
    }
    return peek;
  };

  /** A line at or shortly before the first one that `reached` is true of; `reached` must be monotone. */
  const locate = (reached: (peek: Peek) => boolean, head: Cursor): Place => {
    // The head's segment may be empty still.
    let last = head.offset === 0 ? head.segment - 1 : head.segment;
    let firstSegment = 1;
    while (firstSegment < last) {
      const middle = Math.ceil((firstSegment + last) / 2);
      if (reached(first(middle))) last = middle - 1;
      else firstSegment = middle;
    }
    return withSegment(firstSegment, (fd) => {
      let low = { offset: 0, seq: first(firstSegment).seq };
      let high = end(firstSegment, head);
      while (high - low.offset > 2 * CHUNK_BYTES) {
        const middle = Math.floor((low.offset + high) / 2);
        const window = Buffer.alloc(MAX_ENTRY_BYTES + 1);
        const count = files.read(fd, window, 0, window.length, middle);
        const newline = window.subarray(0, count).indexOf(NEWLINE);
        if (newline === -1) {
          throw corruptAt(files, logDir, { segment: firstSegment, ...low }, "a line without end follows");
        }
        const offset = middle + newline + 1;
        if (offset >= high) {
          high = middle;
          continue;
        }
        const peek = peekAt(fd, firstSegment, offset, low.seq);
        if (reached(peek)) high = middle;
        else low = { offset, seq: peek.seq };
      }
      return { segment: firstSegment, ...low };
    });
  };

  async function* scan(from: Place, head: Cursor): AsyncIterable<StoredLine> {
    let { segment, offset, seq } = from;
    for (; segment <= head.segment; segment += 1, offset = 0) {
      const limit = end(segment, head);
      const fd = files.open(segmentPath(logDir, segment), "r");
      try {
        while (offset < limit) {
          const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, limit - offset));
          const count = await files.readLater(fd, chunk, 0, chunk.length, offset);
          const read = chunk.subarray(0, count);
          let start = 0;
          for (;;) {
            const newline = read.indexOf(NEWLINE, start);
            if (newline === -1) break;
            const bytes = read.subarray(start, newline);
            const stands = seqAt(bytes, 0);
            if (stands !== seq) {
              const why = stands === -1 ? "not an entry" : `entry ${stands} where ${seq} was due`;
              throw corruptAt(files, logDir, { segment, offset: offset + start, seq }, why);
            }
            yield { seq, bytes };
            seq += 1;
            start = newline + 1;
          }
          if (start === 0) throw corruptAt(files, logDir, { segment, offset, seq }, "a line without end");
          offset += start;
        }
      } finally {
        files.close(fd);
      }
    }
    if (seq !== head.size) {
      throw corruptAt(files, logDir, { ...head, seq }, `the log ends at entry ${seq} and had ${head.size}`);
    }
  }

  async function* linesFrom(reached: (peek: Peek) => boolean, head: Cursor): AsyncIterable<StoredLine> {
    if (head.size === 0) return;
    let isReached = false;
    for await (const line of scan(locate(reached, head), head)) {
      isReached ||= reached(peekLine(Buffer.from(line.bytes).toString("latin1", 0, PREFIX_BYTES)) as Peek);
      if (isReached) yield line;
    }
  }

  return {
    lines: (fromSeq, head) => linesFrom((peek) => peek.seq >= fromSeq, head),
    linesSince: (time, head) => linesFrom((peek) => peek.time >= time, head),
    newest(limit, head) {
      const lines: StoredLine[] = [];
      let { segment, offset } = head;
      let want = CHUNK_BYTES / 8;
      while (lines.length < limit && lines.length < head.size) {
        if (offset === 0) {
          if (segment === 1)
            throw corruptAt(files, logDir, { segment, offset, seq: 0 }, "entries are missing");
          segment -= 1;
          offset = end(segment, head);
          continue;
        }
        const from = Math.max(0, offset - want);
        const bytes = Buffer.alloc(offset - from);
        withSegment(segment, (fd) => files.read(fd, bytes, 0, bytes.length, from));
        let stop = bytes.length - 1;
        while (lines.length < limit) {
          const newline = stop <= 0 ? -1 : bytes.lastIndexOf(NEWLINE, stop - 1);
          if (newline === -1 && (from > 0 || stop <= 0)) break;
          const line = bytes.subarray(newline + 1, stop);
          const seq = head.size - 1 - lines.length;
          if (peekLine(line.toString("latin1", 0, PREFIX_BYTES))?.seq !== seq) {
            throw corruptAt(files, logDir, { segment, offset: from + newline + 1, seq }, `not entry ${seq}`);
          }
          lines.push({ seq, bytes: line });
          stop = newline;
        }
        // No line ended in the window: it was too small for one.
        if (stop === bytes.length - 1) {
          if (from === 0) throw corruptAt(files, logDir, { segment, offset: 0, seq: 0 }, "not an entry");
          want *= 2;
        }
        offset = from + stop + 1;
      }
      return lines;
    },
  };
}
