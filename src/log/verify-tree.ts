import { EMPTY_ROOT, nodeHash, nodeHashKeeping, rootOf, type TreeHash } from "./merkle.ts";
import { foldSubtrees, rootPlan, type SubtreeRef } from "./merkle-proof.ts";

// The tree of a log that is being read, with the root of every size seen so far: approvers bound their decisions to
// earlier sizes, and each of those roots has to be the one that this log had. Costs 32 bytes an entry.

/** Complete subtrees are kept from this level up; smaller ones are made again from their leaves. */
const KEPT_LEVEL = 8;
/** Leaves to a piece of memory. */
const PAGE = 4_096;
const HASH_BYTES = 32;

export interface GrowingTree {
  readonly size: number;
  push(leaf: TreeHash): void;
  root(): TreeHash;
  /** Root of the first `size` entries; null where there are not so many yet. */
  rootAt(size: number): TreeHash | null;
  leafAt(index: number): TreeHash;
}

export function createGrowingTree(): GrowingTree {
  let size = 0;
  /** Leaves two by two: strings of their own would take four times the memory. */
  const pages: Uint8Array<ArrayBuffer>[] = [];
  /** By level, the complete subtree that still waits for its right neighbour. */
  const waiting: (TreeHash | undefined)[] = [];
  /** All complete subtrees from the kept level up, by level above it. */
  const complete: TreeHash[][] = [];

  const pair = (left: TreeHash, right: TreeHash): TreeHash => {
    const at = size - 2;
    if (at % PAGE === 0) pages.push(new Uint8Array(PAGE * HASH_BYTES));
    return nodeHashKeeping(left, right, pages.at(-1) as Uint8Array, (at % PAGE) * HASH_BYTES);
  };
  const leafAt = (index: number): TreeHash => {
    // The last of an odd number has no pair yet.
    if (index === size - 1 && size % 2 === 1) return waiting[0] as TreeHash;
    const page = pages[Math.floor(index / PAGE)] as Uint8Array<ArrayBuffer>;
    return Buffer.from(page.buffer, (index % PAGE) * HASH_BYTES, HASH_BYTES).toString("latin1");
  };
  const subtree = ({ level, index }: SubtreeRef): TreeHash => {
    if (level >= KEPT_LEVEL) return complete[level - KEPT_LEVEL]?.[index] as TreeHash;
    const width = 2 ** level;
    return rootOf(Array.from({ length: width }, (_, i) => leafAt(index * width + i)));
  };

  return {
    get size() {
      return size;
    },
    push(leaf) {
      size += 1;
      let node = leaf;
      for (let level = 0; ; level += 1) {
        if (level >= KEPT_LEVEL) (complete[level - KEPT_LEVEL] ??= []).push(node);
        const left = waiting[level];
        if (left === undefined) {
          waiting[level] = node;
          return;
        }
        waiting[level] = undefined;
        node = level === 0 ? pair(left, node) : nodeHash(left, node);
      }
    },
    root() {
      let root: TreeHash | undefined;
      for (const node of waiting)
        if (node !== undefined) root = root === undefined ? node : nodeHash(node, root);
      return root ?? EMPTY_ROOT;
    },
    rootAt: (at) =>
      !Number.isSafeInteger(at) || at < 0 || at > size ? null : foldSubtrees(rootPlan(at), subtree),
    leafAt,
  };
}
