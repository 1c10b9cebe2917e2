import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { copyHash, createHashList, createSubtreeFold, hashAt, putDigest } from "../../src/log/hash-list.ts";
import type { HashList } from "../../src/log/hash-list.ts";
import { leafHash, rootOf, toBytes, type TreeHash } from "../../src/log/merkle.ts";
import { createGrowingTree } from "../../src/log/verify-tree.ts";

const leaf = (i: number): string => leafHash(Buffer.from(`entry ${i}`));

function putHash({ bytes }: HashList, index: number, hash: TreeHash): void {
  bytes.set(toBytes(hash), index * 32);
}

test("the digest of any bytes stands where it was put, and nowhere else", () => {
  const digest = (input: Uint8Array): string => createHash("sha256").update(input).digest("hex");
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(2), fc.boolean(), (input, index, isShared) => {
      const list = createHashList(isShared ? new SharedArrayBuffer(96) : new ArrayBuffer(96));
      putDigest(list, index, input);
      const expected = Array.from({ length: 3 }, (_, i) => (i === index ? digest(input) : "00".repeat(32)));
      expect(list.bytes.toString("hex")).toBe(expected.join(""));
    }),
    { numRuns: 1_000 },
  );
});

test("every byte of a hash is kept, in memory of one thread and of several", () => {
  const hash = Buffer.from(Array.from({ length: 32 }, (_, i) => (i * 37) % 256)).toString("latin1");
  for (const memory of [new ArrayBuffer(96), new SharedArrayBuffer(96)]) {
    const list = createHashList(memory);
    putHash(list, 1, hash);
    copyHash(list, 1, list, 2);
    expect([0, 1, 2].map((i) => hashAt(list, i))).toEqual(["\0".repeat(32), hash, hash]);
  }
});

test("a complete subtree has the root that its leaves give, wherever they lie", () => {
  const fold = createSubtreeFold(256);
  const list = createHashList(new ArrayBuffer(512 * 32));
  for (let i = 0; i < 512; i += 1) putHash(list, i, leaf(i));
  for (const width of [1, 2, 4, 64, 256]) {
    for (const first of [0, width, 256]) {
      expect(fold(list, first, width)).toBe(rootOf(Array.from({ length: width }, (_, i) => leaf(first + i))));
    }
  }
});

test("a growing tree has the root of every size that it had, however many leaves came at once", () => {
  const most = 9_000;
  const leaves = Array.from({ length: most }, (_, i) => leaf(i));
  const list = createHashList(new ArrayBuffer(most * 32));
  leaves.forEach((hash, i) => putHash(list, i, hash));
  fc.assert(
    fc.property(fc.array(fc.nat(3_000), { minLength: 1, maxLength: 3 }), fc.nat(most), (counts, asked) => {
      const tree = createGrowingTree();
      for (const count of counts) tree.push(list, tree.size, count);
      expect(tree.rootAt(tree.size)).toBe(rootOf(leaves.slice(0, tree.size)));
      expect(tree.rootAt(asked)).toBe(asked > tree.size ? null : rootOf(leaves.slice(0, asked)));
      if (asked < tree.size) expect(tree.leafAt(asked)).toBe(leaves[asked]);
    }),
    { numRuns: 30 },
  );
});
