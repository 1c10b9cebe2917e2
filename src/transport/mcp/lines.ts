import type { Readable } from "node:stream";
import { MAX_MESSAGE_BYTES } from "./message.ts";

/** A line without its end, or the fact that one was longer than a message may be. */
export type Line = { readonly bytes: Uint8Array } | { readonly tooLong: number };

/**
 * Splits a byte stream at LF. An overlong line is skipped to its end and reported once: it costs one message and not
 * the connection, and no more memory than the limit. A last line without LF is dropped: its sender was cut off.
 */
export async function* readLines(input: Readable, limit: number = MAX_MESSAGE_BYTES): AsyncGenerator<Line> {
  let parts: Buffer[] = [];
  let size = 0;
  const take = (part: Buffer): void => {
    size += part.length;
    if (size <= limit) parts.push(part);
    else parts = [];
  };
  for await (const chunk of input as AsyncIterable<Buffer>) {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, from);
      if (end < 0) break;
      take(chunk.subarray(from, end));
      const line = size > limit ? { tooLong: size } : { bytes: withoutReturn(Buffer.concat(parts)) };
      parts = [];
      size = 0;
      from = end + 1;
      if ("tooLong" in line || line.bytes.length > 0) yield line;
    }
    if (from < chunk.length) take(chunk.subarray(from));
  }
}

const withoutReturn = (line: Buffer): Buffer => (line.at(-1) === 0x0d ? line.subarray(0, -1) : line);
