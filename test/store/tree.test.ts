import fc from "fast-check";
import { expect, test } from "vitest";
import { leafHash, rootOf, type TreeHash } from "../../src/log/merkle.ts";
import { foldComplete, createTree } from "../../src/store/embedded/tree.ts";

const leaves: readonly TreeHash[] = Array.from({ length: 70_000 }, (_, i) =>
  leafHash(Buffer.from(`leaf ${i}`)),
);

test("its root is that of the whole list at every size (RFC 6962)", () => {
  const tree = createTree(() => undefined);
  for (let size = 0; size <= 1_100; size += 1) {
    expect(tree.root()).toBe(rootOf(leaves.slice(0, size)));
    tree.push(leaves[size] as TreeHash);
  }
});

test("continued from its unfilled tiles it is the same tree", () => {
  const size = fc.oneof(
    fc.nat(2_000),
    fc.integer({ min: 65_000, max: 69_000 }),
    fc.constantFrom(0, 255, 256, 65_535, 65_536),
  );
  fc.assert(
    fc.property(size, fc.nat(600), (before, more) => {
      const whole = createTree(() => undefined);
      for (const leaf of leaves.slice(0, before)) whole.push(leaf);
      const continued = createTree(() => undefined, { size: before, pending: whole.pending });
      expect(continued.root()).toBe(whole.root());
      for (const leaf of leaves.slice(before, before + more)) continued.push(leaf);
      expect(continued.root()).toBe(rootOf(leaves.slice(0, before + more)));
    }),
    { numRuns: 25 },
  );
});

test("hands out each tile once, when it fills, with the hashes of its level", () => {
  const tiles = new Map<string, readonly TreeHash[]>();
  const tree = createTree((level, index, hashes) => {
    expect(tiles.has(`${level}/${index}`)).toBe(false);
    tiles.set(`${level}/${index}`, [...hashes]);
  });
  for (const leaf of leaves) tree.push(leaf);
  expect([...tiles.keys()].filter((name) => name.startsWith("0/"))).toHaveLength(273);
  expect(tiles.get("0/3")).toEqual(leaves.slice(768, 1_024));
  expect(tiles.get("1/0")?.[5]).toBe(rootOf(leaves.slice(5 * 256, 6 * 256)));
  expect(foldComplete(tiles.get("1/0") ?? [])).toBe(rootOf(leaves.slice(0, 65_536)));
});

test("refuses unfilled tiles that do not belong to the size", () => {
  const hash = leaves[0] as TreeHash;
  for (const [size, pending] of [
    [3, [[hash, hash]]],
    [256, [[]]],
    [300, []],
    [257, [[hash], []]],
  ] as const) {
    expect(() => createTree(() => undefined, { size, pending })).toThrow(RangeError);
  }
});
