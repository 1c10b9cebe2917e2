import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { EMPTY_ROOT, fromHex, leafHash, rootOf, toHex, type TreeHash } from "../../src/log/merkle.ts";
import {
  consistencyPlan,
  foldPlan,
  inclusionPlan,
  verifyConsistency,
  verifyInclusion,
} from "../../src/log/merkle-proof.ts";

interface Vectors {
  leaves: string[];
  emptyRoot: string;
  roots: string[];
  someHash: string;
  inclusion: { index: number; size: number; proof: string[] }[];
  consistency: { old: number; new: number; proof: string[] }[];
}
const vectors = JSON.parse(
  readFileSync(new URL("../vectors/rfc6962.json", import.meta.url), "utf8"),
) as Vectors;

const hash = (hex: string): TreeHash => fromHex(hex) as TreeHash;
const leaves = vectors.leaves.map((hex) => leafHash(Buffer.from(hex, "hex")));
const rootAt = (size: number): TreeHash =>
  hash(size === 0 ? vectors.emptyRoot : (vectors.roots[size - 1] as string));
const subtree = ({ level, index }: { level: number; index: number }): TreeHash =>
  rootOf(leaves.slice(index * 2 ** level, (index + 1) * 2 ** level));
const some = hash(vectors.someHash);
// What the published suite calls garbage: a hash of no bytes.
const garbage = "";

test("the known roots of Certificate Transparency's eight leaves come out", () => {
  expect(toHex(EMPTY_ROOT)).toBe(vectors.emptyRoot);
  for (let size = 1; size <= 8; size += 1) {
    expect(toHex(rootOf(leaves.slice(0, size)))).toBe(vectors.roots[size - 1]);
  }
});

test("the known proofs are the ones made here", () => {
  for (const { index, size, proof } of vectors.inclusion) {
    expect(foldPlan(inclusionPlan(index, size), subtree).map(toHex)).toEqual(proof);
  }
  for (const { old, new: to, proof } of vectors.consistency) {
    expect(foldPlan(consistencyPlan(old, to), subtree).map(toHex)).toEqual(proof);
  }
});

const flip = (proof: readonly TreeHash[], i: number, bit: number): TreeHash[] =>
  proof.with(i, String.fromCharCode(proof[i]!.charCodeAt(0) ^ bit) + proof[i]!.slice(1));

for (const { index, size, proof: hex } of vectors.inclusion) {
  test(`inclusion of leaf ${index} of ${size}: the known proof verifies and every published corruption fails`, () => {
    const proof = hex.map(hash);
    const leaf = leaves[index] as TreeHash;
    const root = rootAt(size);
    expect(verifyInclusion(index, size, leaf, proof, root)).toBe(true);
    const corruptions: [string, Parameters<typeof verifyInclusion>][] = [
      ["index - 1", [index - 1, size, leaf, proof, root]],
      ["index + 1", [index + 1, size, leaf, proof, root]],
      ["index ^ 2", [index ^ 2, size, leaf, proof, root]],
      ["size * 2", [index, size * 2, leaf, proof, root]],
      ["size / 2", [index, Math.floor(size / 2), leaf, proof, root]],
      ["wrong leaf", [index, size, "WrongLeaf", proof, root]],
      ["empty root", [index, size, leaf, proof, EMPTY_ROOT]],
      ["random root", [index, size, leaf, proof, some]],
      ["trailing garbage", [index, size, leaf, [...proof, garbage], root]],
      ["trailing root", [index, size, leaf, [...proof, root], root]],
      ["preceding garbage", [index, size, leaf, [garbage, ...proof], root]],
      ["preceding root", [index, size, leaf, [root, ...proof], root]],
      ...proof.map((_, i): [string, Parameters<typeof verifyInclusion>] => [
        `modified proof[${i}]`,
        [index, size, leaf, flip(proof, i, 8), root],
      ]),
    ];
    if (proof.length > 0)
      corruptions.push(["removed component", [index, size, leaf, proof.slice(0, -1), root]]);
    if (proof.length > 1) {
      corruptions.push([
        "inserted component",
        [index, size, leaf, [proof[0]!, some, ...proof.slice(1)], root],
      ]);
    }
    for (const [name, parameters] of corruptions) expect(verifyInclusion(...parameters), name).toBe(false);
  });
}

for (const { old, new: to, proof: hex } of vectors.consistency) {
  test(`consistency of ${old} with ${to}: the known proof verifies and every published corruption fails`, () => {
    const proof = hex.map(hash);
    const [root1, root2] = [rootAt(old), rootAt(to)];
    expect(verifyConsistency(old, to, root1, root2, proof)).toBe(true);
    if (proof.length === 0) return;
    const corruptions: [string, Parameters<typeof verifyConsistency>][] = [
      ["size1 - 1", [old - 1, to, root1, root2, proof]],
      ["size1 + 1", [old + 1, to, root1, root2, proof]],
      ["size1 ^ 2", [old ^ 2, to, root1, root2, proof]],
      ["size2 * 2", [old, to * 2, root1, root2, proof]],
      ["size2 / 2", [old, Math.floor(to / 2), root1, root2, proof]],
      ["wrong root1", [old, to, "WrongRoot", root2, proof]],
      ["wrong root2", [old, to, root1, "WrongRoot", proof]],
      ["swapped roots", [old, to, root2, root1, proof]],
      ["empty proof", [old, to, root1, root2, []]],
      ["trailing garbage", [old, to, root1, root2, [...proof, garbage]]],
      ["trailing root1", [old, to, root1, root2, [...proof, root1]]],
      ["trailing root2", [old, to, root1, root2, [...proof, root2]]],
      ["preceding garbage", [old, to, root1, root2, [garbage, ...proof]]],
      ["preceding root1", [old, to, root1, root2, [root1, ...proof]]],
      ["preceding root2", [old, to, root1, root2, [root2, ...proof]]],
      ["preceding proof[0]", [old, to, root1, root2, [proof[0]!, ...proof]]],
      ["truncated proof", [old, to, root1, root2, proof.slice(0, -1)]],
      ...proof.map((_, i): [string, Parameters<typeof verifyConsistency>] => [
        `modified proof[${i}]`,
        [old, to, root1, root2, flip(proof, i, 16)],
      ]),
    ];
    for (const [name, parameters] of corruptions) expect(verifyConsistency(...parameters), name).toBe(false);
  });
}

test("sizes and roots that the published suite calls inconsistent are refused, and an unknown root of nothing too", () => {
  const a = leaves[0] as TreeHash;
  const b = leaves[1] as TreeHash;
  expect(verifyConsistency(0, 0, a, b, [])).toBe(false);
  expect(verifyConsistency(1, 1, a, b, [])).toBe(false);
  expect(verifyConsistency(1, 0, a, b, [])).toBe(false);
  expect(verifyConsistency(2, 1, a, b, [])).toBe(false);
  expect(verifyConsistency(1, 2, a, b, [])).toBe(false);
  expect(verifyConsistency(0, 0, EMPTY_ROOT, EMPTY_ROOT, [EMPTY_ROOT])).toBe(false);
  expect(verifyConsistency(0, 1, EMPTY_ROOT, EMPTY_ROOT, [EMPTY_ROOT])).toBe(false);
  expect(verifyConsistency(1, 1, EMPTY_ROOT, EMPTY_ROOT, [EMPTY_ROOT])).toBe(false);
  expect(verifyConsistency(1, 1, b, b, [])).toBe(true);
  expect(verifyConsistency(0, 1, EMPTY_ROOT, b, [])).toBe(true);
  // Stricter than the published suite, which lets any root stand for the empty tree.
  expect(verifyConsistency(0, 1, a, b, [])).toBe(false);
  expect(verifyConsistency(0, 0, a, a, [])).toBe(false);
});
