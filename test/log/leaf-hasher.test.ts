import { expect, test } from "vitest";
import { hashAt } from "../../src/log/hash-list.ts";
import {
  createLeafHasher,
  createThreadedLeafHasher,
  type Chunk,
  type LeafHasher,
} from "../../src/log/leaf-hasher.ts";
import { leafHash } from "../../src/log/merkle.ts";

const lines = Array.from({ length: 50 }, (_, i) =>
  Buffer.from(`{"seq":${i},"filler":"${"x".repeat(i * 37)}"}`),
);
const expected = lines.map(leafHash);

function fill(chunk: Chunk): void {
  let at = 1;
  chunk.lines = 0;
  for (const line of lines) {
    chunk.buffer[at - 1] = 0;
    chunk.buffer.set(line, at);
    chunk.bounds[chunk.lines * 2] = at;
    chunk.bounds[chunk.lines * 2 + 1] = at + line.length;
    chunk.lines += 1;
    at += line.length + 1;
  }
}
async function leavesOf(hasher: LeafHasher, chunk: Chunk): Promise<string[]> {
  await hasher.finish(chunk);
  return lines.map((_, i) => hashAt(chunk.leaves, i));
}

test.each([
  ["here", createLeafHasher],
  ["in a second thread", createThreadedLeafHasher],
] as const)("every chunk gives the leaves of its lines, hashed %s", async (_where, create) => {
  const hasher = create(64 * 1024);
  for (const chunk of hasher.chunks) fill(chunk);
  for (const chunk of hasher.chunks) hasher.start(chunk);
  for (const chunk of hasher.chunks) expect(await leavesOf(hasher, chunk)).toEqual(expected);
  await hasher.close();
});

test("where the second thread ends too early, the leaves are hashed here and are the same", async () => {
  const hasher = createThreadedLeafHasher(64 * 1024);
  const [first, second] = hasher.chunks;
  fill(first);
  hasher.start(first);
  const ending = hasher.close();
  expect(await leavesOf(hasher, first)).toEqual(expected);
  await ending;
  fill(second);
  hasher.start(second);
  expect(await leavesOf(hasher, second)).toEqual(expected);
});

test("however many lines fall to which thread, each has its own leaf", async () => {
  const hasher = createThreadedLeafHasher(4 * 1024 * 1024);
  const leaves: string[] = [];
  const [, chunk] = hasher.chunks;
  let at = 1;
  for (; chunk.lines < 10_000; at += 401) {
    const line = Buffer.from(String(chunk.lines).padEnd(400, "x"));
    chunk.buffer[at - 1] = 0;
    chunk.buffer.set(line, at);
    chunk.bounds[chunk.lines * 2] = at;
    chunk.bounds[chunk.lines * 2 + 1] = at + line.length;
    chunk.lines += 1;
    leaves.push(leafHash(line));
  }
  // Asked at once the caller hashes nearly all, later some, at last nothing.
  for (const wait of [0, 20, 1, 2, 4, 500]) {
    hasher.start(chunk);
    if (wait > 0) await new Promise((resume) => setTimeout(resume, wait));
    await hasher.finish(chunk);
    expect(leaves.findIndex((each, i) => each !== hashAt(chunk.leaves, i))).toBe(-1);
    chunk.leaves.bytes.fill(0);
  }
  await hasher.close();
});

test("a chunk that the second thread never began is not waited for, and none is given to it twice", async () => {
  const hasher = createThreadedLeafHasher(64 * 1024);
  // From the first moment on, when the thread is still starting: the chunks in turn, far more often than it can follow.
  for (let round = 0; round < 3_000; round += 1) {
    const chunk = hasher.chunks[round % 3] as Chunk;
    chunk.leaves.bytes.fill(0, 0, lines.length * 32);
    fill(chunk);
    chunk.lines = 1 + (round % lines.length);
    hasher.start(chunk);
    await hasher.finish(chunk);
    const leaves = Array.from({ length: chunk.lines }, (_, i) => hashAt(chunk.leaves, i));
    expect(leaves).toEqual(expected.slice(0, chunk.lines));
    // Nobody writes to it any more.
    if (chunk.lines < lines.length) expect(hashAt(chunk.leaves, chunk.lines)).toBe("\0".repeat(32));
  }
  await hasher.close();
});
