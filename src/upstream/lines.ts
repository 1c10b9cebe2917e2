/** Lines of a byte stream, none of which costs more memory than the limit. */
export function createLineSplitter(
  limit: number,
  onLine: (line: Buffer) => void,
  /** An overlong line: how it began, how it ended, and its length. */
  onTooLong: (head: Buffer, tail: Buffer, bytes: number) => void,
): (chunk: Buffer) => void {
  let parts: Buffer[] = [];
  let size = 0;
  let head: Buffer | null = null;
  let tail = Buffer.alloc(0);

  const add = (part: Buffer): void => {
    size += part.length;
    if (size <= limit) {
      parts.push(part);
      return;
    }
    if (head === null) {
      head = edgeOf([...parts, part]);
      parts = [];
    }
    tail = Buffer.from(Buffer.concat([tail, part.subarray(-EDGE)]).subarray(-EDGE));
  };
  const end = (): void => {
    if (head === null) {
      const line = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
      onLine(line.at(-1) === 0x0d ? line.subarray(0, -1) : line);
    } else onTooLong(head, tail, size);
    parts = [];
    size = 0;
    head = null;
  };
  return (chunk) => {
    let from = 0;
    for (;;) {
      const at = chunk.indexOf(0x0a, from);
      if (at < 0) break;
      add(chunk.subarray(from, at));
      end();
      from = at + 1;
    }
    if (from < chunk.length) add(chunk.subarray(from));
  };
}

function edgeOf(parts: readonly Buffer[]): Buffer {
  const first: Buffer[] = [];
  let size = 0;
  for (const part of parts) {
    if (size >= EDGE) break;
    first.push(part.subarray(0, EDGE));
    size += part.length;
  }
  return Buffer.concat(first).subarray(0, EDGE);
}

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
