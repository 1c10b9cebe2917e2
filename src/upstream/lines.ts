/** Lines of a byte stream, none of which costs more memory than the limit. */
export function createLineSplitter(
  limit: number,
  onLine: (line: Buffer) => void,
  /** An overlong line: how it began, how it ended, and its length. */
  onTooLong: (head: Buffer, tail: Buffer, bytes: number) => void,
): (chunk: Buffer) => void {
  // The line that is not complete yet, in one buffer that grows: a server that writes byte by byte must not cost an
  // object a byte.
  let kept = Buffer.alloc(0);
  let size = 0;
  let head: Buffer | null = null;
  let tail = Buffer.alloc(0);

  const keep = (part: Buffer): void => {
    if (size + part.length > kept.length) {
      const larger = Buffer.allocUnsafe(
        Math.min(limit, Math.max(1_024, 2 * kept.length, size + part.length)),
      );
      kept.copy(larger, 0, 0, size);
      kept = larger;
    }
    part.copy(kept, size);
  };
  const add = (part: Buffer): void => {
    if (size + part.length <= limit) keep(part);
    else {
      head ??= Buffer.concat([kept.subarray(0, size), part.subarray(0, EDGE)]).subarray(0, EDGE);
      tail = Buffer.from(
        Buffer.concat([tail, kept.subarray(0, size).subarray(-EDGE), part.subarray(-EDGE)]).subarray(-EDGE),
      );
      kept = Buffer.alloc(0);
    }
    size += part.length;
  };
  const end = (last: Buffer): void => {
    if (size === 0 && last.length <= limit) onLine(withoutReturn(last));
    else {
      add(last);
      if (head === null) onLine(withoutReturn(Buffer.from(kept.subarray(0, size))));
      else onTooLong(head, tail, size);
    }
    if (kept.length > KEPT) kept = Buffer.alloc(0);
    size = 0;
    head = null;
    tail = Buffer.alloc(0);
  };
  return (chunk) => {
    let from = 0;
    for (;;) {
      const at = chunk.indexOf(0x0a, from);
      if (at < 0) break;
      end(chunk.subarray(from, at));
      from = at + 1;
    }
    if (from < chunk.length) add(chunk.subarray(from));
  };
}

const withoutReturn = (line: Buffer): Buffer => (line.at(-1) === 0x0d ? line.subarray(0, -1) : line);

/** A buffer up to this is used again for the next line. */
const KEPT = 64 * 1024;

/** Bytes that are kept of either end of an overlong line. */
const EDGE = 256;

/**
 * The id of a reply of which only the two ends are known. SDKs write it first or last; a server that writes something
 * of the kind into a result's end can only lose its own reply by it.
 */
export function idOfCutLine(head: Buffer, tail: Buffer): number | null {
  const first = /^\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d{1,15})\s*[,}]/.exec(
    head.toString("latin1"),
  );
  const second = /^\s*\{\s*"id"\s*:\s*(\d{1,15})\s*,/.exec(head.toString("latin1"));
  const end = tail.toString("latin1");
  const last =
    /"id"\s*:\s*(\d{1,15})\s*\}\s*$/.exec(end) ??
    /"id"\s*:\s*(\d{1,15})\s*,\s*"jsonrpc"\s*:\s*"2\.0"\s*\}\s*$/.exec(end);
  const found = first ?? second ?? last;
  return found === null ? null : Number(found[1]);
}
