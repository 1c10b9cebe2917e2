import fc from "fast-check";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { readLines, type Line } from "../../../src/transport/mcp/lines.ts";
import { MAX_MESSAGE_BYTES, MAX_MESSAGE_DEPTH, parseMessage } from "../../../src/transport/mcp/message.ts";
import { readEvents } from "../../../src/transport/mcp/sse.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const codeOf = (input: Uint8Array): number | "ok" => {
  const parsed = parseMessage(input);
  return parsed.ok ? "ok" : parsed.code;
};

test("takes a message whose bytes mean one thing, and refuses the rest", () => {
  expect(codeOf(bytes('{"jsonrpc":"2.0","id":1,"method":"ping"}'))).toBe("ok");
  expect(codeOf(bytes("not json"))).toBe(-32700);
  expect(codeOf(bytes(""))).toBe(-32700);
  expect(codeOf(bytes('\ufeff{"jsonrpc":"2.0"}'))).toBe(-32700);
  expect(codeOf(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))).toBe(-32700);
  expect(codeOf(Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d]))).toBe(-32700);
  expect(codeOf(bytes('[{"jsonrpc":"2.0","id":1,"method":"ping"}]'))).toBe(-32600);
  expect(codeOf(bytes("null"))).toBe(-32600);
  expect(codeOf(bytes('"text"'))).toBe(-32600);
  expect(codeOf(bytes(`{"a":"${"x".repeat(MAX_MESSAGE_BYTES)}"}`))).toBe(-32600);
});

test("refuses nesting that would break a recursive walk, and is not fooled by brackets in strings", () => {
  const nest = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);
  expect(codeOf(bytes(`{"a":${nest(MAX_MESSAGE_DEPTH - 1)}}`))).toBe("ok");
  expect(codeOf(bytes(`{"a":${nest(MAX_MESSAGE_DEPTH)}}`))).toBe(-32600);
  expect(codeOf(bytes(`{"a":${"[".repeat(1_000_000)}`))).toBe(-32600);
  expect(codeOf(bytes(`{"a":"\\"${"[".repeat(1_000)}"}`))).toBe("ok");
});

test("parses every JSON object it is given to the same value as JSON.parse", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 5 })), (value) => {
      const text = JSON.stringify(value);
      expect(parseMessage(bytes(text))).toEqual({ ok: true, message: JSON.parse(text) });
    }),
  );
});

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
const chunked = (input: Buffer, sizes: readonly number[]): Readable => {
  const chunks: Buffer[] = [];
  for (let at = 0, i = 0; at < input.length; i += 1) {
    const size = sizes.length === 0 ? input.length : (sizes[i % sizes.length] as number);
    chunks.push(input.subarray(at, at + size));
    at += size;
  }
  return Readable.from(chunks);
};
const textOf = (line: Line): string =>
  "bytes" in line ? Buffer.from(line.bytes).toString() : `<${line.tooLong}>`;

test("lines come out the same however the bytes were cut up", async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 });
  const lines = fc.array(
    fc.string({ unit: "grapheme" }).filter((line) => !/[\r\n]/.test(line) && line !== ""),
  );
  await fc.assert(
    fc.asyncProperty(lines, sizes, fc.boolean(), async (expected, cut, carriageReturns) => {
      const input = Buffer.from(expected.map((line) => line + (carriageReturns ? "\r\n" : "\n")).join(""));
      const got = await collect(readLines(chunked(input, cut)));
      expect(got.map(textOf)).toEqual(expected);
    }),
  );
});

test("an overlong line costs that line only, and a line that was cut off is dropped", async () => {
  const input = Buffer.from(`first\n${"x".repeat(100)}\n\nsecond\ncut o`);
  const got = await collect(readLines(chunked(input, [3]), 10));
  expect(got.map(textOf)).toEqual(["first", "<100>", "second"]);
});

test("events of a stream come out the same however the bytes were cut up, comments left out", async () => {
  const stream =
    ': hello\n\nevent: message\nid: 3\ndata: {"a":1}\n\ndata:two\r\ndata: lines\r\n\r\n: keepalive\n\ndata: é😀\n\n';
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), async (cut) => {
      expect(await collect(readEvents(chunked(Buffer.from(stream), cut)))).toEqual([
        '{"a":1}',
        "two\nlines",
        "é😀",
      ]);
    }),
  );
});
