import fc from "fast-check";
import { expect, test } from "vitest";
import { createLineSplitter } from "../../src/upstream/lines.ts";

// What a stranger's process writes, cut wherever the pipe cuts it: are the lines the same, and is memory bounded?

interface Read {
  readonly lines: string[];
  readonly tooLong: { head: string; tail: string; bytes: number }[];
}

function read(chunks: readonly Buffer[], limit: number): Read {
  const seen: Read = { lines: [], tooLong: [] };
  const split = createLineSplitter(
    limit,
    (line) => seen.lines.push(line.toString("latin1")),
    (head, tail, bytes) =>
      seen.tooLong.push({ head: head.toString("latin1"), tail: tail.toString("latin1"), bytes }),
  );
  for (const chunk of chunks) split(chunk);
  return seen;
}

test("lines are the same wherever the pipe cuts them", () => {
  const line = fc.string({ maxLength: 900 }).map((text) => text.replaceAll("\n", "").replace(/\r$/, ""));
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 700 })),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(""));
        const chunks: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          chunks.push(bytes.subarray(at, at + cut));
          at += cut;
        }
        chunks.push(bytes.subarray(at));
        const limit = 600;
        const encoded = lines.map((text) => Buffer.from(text).toString("latin1"));
        const seen = read(chunks, limit);
        expect(seen.lines).toEqual(encoded.filter((text) => text.length <= limit));
        expect(seen.tooLong).toEqual(
          encoded
            .filter((text) => text.length > limit)
            .map((text) => ({ head: text.slice(0, 256), tail: text.slice(-256), bytes: text.length })),
        );
      },
    ),
  );
});

test("a line that comes byte by byte costs its bytes, and not an object a byte", () => {
  const size = 400_000;
  const bytes = Array.from({ length: size }, () => Buffer.from("x"));
  const seen: string[] = [];
  const split = createLineSplitter(
    1 << 20,
    (line) => seen.push(line.toString()),
    () => undefined,
  );
  for (const byte of bytes) split(byte);
  // Whatever it kept of them is its own: they can be written over.
  for (const byte of bytes) byte.fill("y");
  split(Buffer.from("\n"));
  expect(seen).toEqual(["x".repeat(size)]);
});
