import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  createFrontier,
  EMPTY_ROOT,
  fromHex,
  leafHash,
  leafHashInPlace,
  nodeHash,
  rootOf,
  toHex,
  type TreeHash,
} from "../../src/log/merkle.ts";
import {
  consistencyPlan,
  foldPlan,
  foldSubtrees,
  inclusionPlan,
  rootFromInclusion,
  rootPlan,
  verifyConsistency,
  verifyInclusion,
  type SubtreeRef,
} from "../../src/log/merkle-proof.ts";

// The definition of RFC 6962 §2.1, word for word and slow: the oracle for everything below.
function oracleRoot(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) return createHash("sha256").digest();
  if (leaves.length === 1) return leaves[0] as Buffer;
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return createHash("sha256")
    .update(Buffer.of(1))
    .update(oracleRoot(leaves.slice(0, k)))
    .update(oracleRoot(leaves.slice(k)))
    .digest();
}

const line = (i: number): Buffer => Buffer.from(`{"v":1,"seq":${i}}`);
const MAX = 300;
const leaves: TreeHash[] = Array.from({ length: MAX }, (_, i) => leafHash(line(i)));
const oracleLeaves = leaves.map((leaf) => Buffer.from(leaf, "latin1"));
const roots: TreeHash[] = [];
for (let size = 0; size <= MAX; size += 1)
  roots.push(oracleRoot(oracleLeaves.slice(0, size)).toString("latin1"));
const root = (size: number): TreeHash => roots[size] as TreeHash;
const leaf = (index: number): TreeHash => leaves[index] as TreeHash;

const subtrees = new Map<string, TreeHash>();
const subtree = ({ level, index }: SubtreeRef): TreeHash => {
  const key = `${level}/${index}`;
  const known = subtrees.get(key) ?? rootOf(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level));
  subtrees.set(key, known);
  return known;
};
const inclusion = (index: number, size: number): TreeHash[] => foldPlan(inclusionPlan(index, size), subtree);
const consistency = (from: number, to: number): TreeHash[] => foldPlan(consistencyPlan(from, to), subtree);

test("a frontier has the root of RFC 6962's definition at every size to 300", () => {
  const frontier = createFrontier();
  expect(frontier.root()).toBe(root(0));
  for (let size = 1; size <= MAX; size += 1) {
    frontier.push(leaf(size - 1));
    expect(toHex(frontier.root())).toBe(toHex(root(size)));
    expect(toHex(foldSubtrees(rootPlan(size), subtree))).toBe(toHex(root(size)));
  }
});

test("a frontier continued from its JSON goes on as if it had never stopped", () => {
  for (let cut = 0; cut < 70; cut += 1) {
    const before = createFrontier();
    for (let i = 0; i < cut; i += 1) before.push(leaf(i));
    const after = createFrontier(JSON.parse(JSON.stringify(before)) as ReturnType<typeof before.toJSON>);
    for (let i = cut; i < 70; i += 1) after.push(leaf(i));
    expect(after.root()).toBe(root(70));
  }
});

test("a frontier refuses a state that it could not have written", () => {
  const hex = "00".repeat(32);
  expect(() => createFrontier({ size: 3, peaks: [hex] })).toThrow(RangeError);
  expect(() => createFrontier({ size: 1, peaks: [hex.slice(1)] })).toThrow(RangeError);
  expect(() => createFrontier({ size: -1, peaks: [] })).toThrow(RangeError);
  expect(() => createFrontier({ size: 1.5, peaks: [hex] })).toThrow(RangeError);
});

test("a leaf hashed in place is the same leaf", () => {
  const buffer = Buffer.from(`\n{"v":1}`);
  buffer[0] = 0;
  expect(leafHashInPlace(buffer)).toBe(leafHash(Buffer.from(`{"v":1}`)));
});

test("every leaf of every tree to 300 leaves is proved, and its proof proves nothing else", () => {
  for (let size = 1; size <= MAX; size += 1) {
    for (let index = 0; index < size; index += size < 40 ? 1 : 7) {
      const proof = inclusion(index, size);
      expect(verifyInclusion(index, size, leaf(index), proof, root(size))).toBe(true);
      expect(verifyInclusion(index, size, leaf((index + 1) % MAX), proof, root(size))).toBe(false);
      expect(verifyInclusion(index + 1, size, leaf(index), proof, root(size))).toBe(false);
      expect(verifyInclusion(index, size, leaf(index), [...proof, EMPTY_ROOT], root(size))).toBe(false);
      if (proof.length > 0) {
        expect(verifyInclusion(index, size, leaf(index), proof.slice(1), root(size))).toBe(false);
        expect(verifyInclusion(index, size, leaf(index), proof.slice(0, -1), root(size))).toBe(false);
      }
    }
  }
});

test("every pair of sizes to 300 is proved consistent, and no other root fits", () => {
  for (let to = 0; to <= MAX; to += 1) {
    for (let from = 0; from <= to; from += to < 40 ? 1 : 5) {
      const proof = consistency(from, to);
      expect(verifyConsistency(from, to, root(from), root(to), proof)).toBe(true);
      expect(verifyConsistency(from, to, leaf(0) === root(from) ? leaf(1) : leaf(0), root(to), proof)).toBe(
        false,
      );
      expect(verifyConsistency(from, to, root(from), root(to), [...proof, EMPTY_ROOT])).toBe(false);
      if (from !== to && from > 0) {
        expect(verifyConsistency(from, to, root(from), root(to - 1), proof)).toBe(false);
        if (proof.length > 0) {
          expect(verifyConsistency(from, to, root(from), root(to), proof.slice(1))).toBe(false);
          expect(verifyConsistency(from, to, root(from), root(to), proof.slice(0, -1))).toBe(false);
        }
      }
    }
  }
});

test("any changed byte of an inclusion or consistency proof breaks it", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: MAX }),
      fc.nat(),
      fc.nat(),
      fc.nat(31),
      fc.integer({ min: 1, max: 255 }),
      (size, at, which, byte, xor) => {
        const flip = (hashes: TreeHash[]): TreeHash[] => {
          const i = which % hashes.length;
          const bytes = Buffer.from(hashes[i] as string, "latin1");
          bytes.writeUInt8(bytes.readUInt8(byte) ^ xor, byte);
          return hashes.with(i, bytes.toString("latin1"));
        };
        const index = at % size;
        expect(verifyInclusion(index, size, leaf(index), flip(inclusion(index, size)), root(size))).toBe(
          false,
        );
        const from = 1 + (at % (size - 1));
        const proof = consistency(from, size);
        expect(verifyConsistency(from, size, root(from), root(size), flip(proof))).toBe(false);
      },
    ),
  );
});

test("sizes beyond 32 bits do not wrap", () => {
  const size = 2 ** 40 + 3;
  const proof = Array.from({ length: 41 }, () => EMPTY_ROOT);
  const path = rootFromInclusion(5, size, leaf(0), proof);
  expect(path).not.toBeNull();
  expect(rootFromInclusion(5 + 2 ** 32, size, leaf(0), proof)).not.toBe(path);
  expect(rootFromInclusion(5, size, leaf(0), proof.slice(1))).toBeNull();
  expect(inclusionPlan(5, size)).toHaveLength(41);
});

test("hex at the edges is strict and loses nothing", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
      const hex = Buffer.from(bytes).toString("hex");
      expect(toHex(fromHex(hex) as TreeHash)).toBe(hex);
    }),
  );
  expect(fromHex("A".repeat(64))).toBeUndefined();
  expect(fromHex("a".repeat(63))).toBeUndefined();
  expect(nodeHash(leaf(0), leaf(1))).toBe(root(2));
});
