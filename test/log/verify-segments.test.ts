import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { hashAt } from "../../src/log/hash-list.ts";
import { leafHash } from "../../src/log/merkle.ts";
import { readSegments, type LinesRead } from "../../src/log/verify-segments.ts";

// Is every line handed on once, whole, in its place and with its own leaf, wherever the borders of what is read fall?

const directories: string[] = [];
function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "countersign-segments-"));
  directories.push(directory);
  return directory;
}
afterEach(() => {
  for (const each of directories.splice(0)) rmSync(each, { recursive: true, force: true });
});

interface Read extends LinesRead {
  readonly lines: readonly { readonly text: string; readonly leaf: string; readonly place: string }[];
}

async function read(directory: string, names: readonly string[], threads: 1 | 2): Promise<Read> {
  const lines: Read["lines"][number][] = [];
  const result = await readSegments(
    directory,
    names,
    threads,
    ({ buffer, bounds, leaves, lines: count }, at) => {
      for (let i = 0; i < count; i += 1) {
        const [start, end] = [bounds[2 * i] as number, bounds[2 * i + 1] as number];
        const text = buffer.toString("latin1", start, end);
        lines.push({ text, leaf: hashAt(leaves, i), place: `${at.segment}:${at.line}:${at.offset}` });
        at.line += 1;
        at.offset += end + 1 - start;
      }
    },
    () => undefined,
  );
  return { ...result, lines };
}

/** Lengths from none to the most that an entry has, and then some, without a pattern in them. */
function lengthsOf(bytes: number): readonly number[] {
  const lengths: number[] = [];
  for (let state = 1, sum = 0; sum < bytes; sum += (lengths.at(-1) as number) + 1) {
    state = (state * 48_271) % 2_147_483_647;
    lengths.push(state % 7 === 0 ? state % 70_000 : state % 3_000);
  }
  return lengths;
}

test.each([1, 2] as const)(
  "lines across the borders of chunks and segments, on %i threads",
  async (threads) => {
    const directory = temporaryDirectory();
    const names = ["000001.jsonl", "000002.jsonl", "000003.jsonl"];
    const expected: Read["lines"][number][] = [];
    let seq = 0;
    for (const [i, name] of names.entries()) {
      let offset = 0;
      const texts = lengthsOf([3_000_000, 400_000, 1_700_000][i] as number).map((length) => {
        seq += 1;
        return `${seq}`.repeat(Math.ceil(length / `${seq}`.length)).slice(0, length);
      });
      for (const [line, text] of texts.entries()) {
        const leaf = leafHash(Buffer.from(text));
        expected.push({ text, leaf, place: `${name}:${line + 1}:${offset}` });
        offset += text.length + 1;
      }
      writeFileSync(
        join(directory, name),
        texts.map((text) => `${text}\n`).join("") + (i === 2 ? "torn" : ""),
      );
    }
    const { lines, torn } = await read(directory, names, threads);
    expect(lines.length).toBe(expected.length);
    expect(lines.findIndex((line, i) => JSON.stringify(line) !== JSON.stringify(expected[i]))).toBe(-1);
    expect(torn).toMatchObject({ bytes: 4, place: { segment: "000003.jsonl" } });
  },
);

test.each([1, 2] as const)("a segment that can't be read is a failure, on %i threads", async (threads) => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "000001.jsonl"), "one\n");
  mkdirSync(join(directory, "000002.jsonl"));
  await expect(read(directory, ["000001.jsonl", "000002.jsonl"], threads)).rejects.toMatchObject({
    code: "EISDIR",
  });
});

test("what the caller throws ends the reading, with a chunk still on its way", async () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "000001.jsonl"), `${"x".repeat(1_000)}\n`.repeat(3_000));
  const refusing = readSegments(
    directory,
    ["000001.jsonl"],
    1,
    () => {
      throw new Error("no more");
    },
    () => undefined,
  );
  await expect(refusing).rejects.toThrow("no more");
});
