import { EMPTY_ROOT, nodeHash, rootOf, type TreeHash } from "./merkle.ts";
import { foldSubtrees, rootPlan, type SubtreeRef } from "./merkle-proof.ts";

// The tree of a log that is being read, with the root of every size seen so far: approvers bound their decisions to
// earlier sizes, and each of those roots has to be the one that this log had. Costs 32 bytes an entry.

const PAGE_LEVEL = 8;
const PAGE = 2 ** PAGE_LEVEL;
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
  /** Leaves of full pages, 256 each: strings of their own would take four times the memory. */
  const pages: Buffer[] = [];
  let page: TreeHash[] = [];
  /** By level, the complete subtree that still waits for its right neighbour. */
  const waiting: (TreeHash | undefined)[] = [];
  /** All complete subtrees from a page up, by level above it. */
  const complete: TreeHash[][] = [];

  const leafAt = (index: number): TreeHash => {
    const at = index % PAGE;
    const full = pages[Math.floor(index / PAGE)];
    return full?.toString("latin1", at * HASH_BYTES, (at + 1) * HASH_BYTES) ?? (page[at] as TreeHash);
  };
  const subtree = ({ level, index }: SubtreeRef): TreeHash => {
    if (level >= PAGE_LEVEL) return complete[level - PAGE_LEVEL]?.[index] as TreeHash;
    const width = 2 ** level;
    return rootOf(Array.from({ length: width }, (_, i) => leafAt(index * width + i)));
  };

  return {
    get size() {
      return size;
    },
    push(leaf) {
      size += 1;
      page.push(leaf);
      if (page.length === PAGE) {
        pages.push(Buffer.from(page.join(""), "latin1"));
        page = [];
      }
      let node = leaf;
      for (let level = 0; ; level += 1) {
        if (level >= PAGE_LEVEL) (complete[level - PAGE_LEVEL] ??= []).push(node);
        const left = waiting[level];
        if (left === undefined) {
          waiting[level] = node;
          return;
        }
        waiting[level] = undefined;
        node = nodeHash(left, node);
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
