import {
  copyHash,
  createHashList,
  createSubtreeFold,
  HASH_BYTES,
  hashAt,
  type HashList,
} from "./hash-list.ts";
import { nodeHash, type TreeHash } from "./merkle.ts";
import { foldSubtrees, rootPlan, type SubtreeRef } from "./merkle-proof.ts";

// The tree of a log that is being read, with the root of every size seen so far: approvers bound their decisions to
// earlier sizes, and each of those roots has to be the one that this log had. Costs 32 bytes an entry.

/** Complete subtrees are kept from this level up; smaller ones are made again from their leaves. */
const KEPT_LEVEL = 8;
const KEPT_WIDTH = 2 ** KEPT_LEVEL;
/** Leaves to a piece of memory. */
const PAGE = 4_096;

export interface GrowingTree {
  readonly size: number;
  /** Takes the hashes from `index` on as the next leaves. */
  push(leaves: HashList, index: number, count: number): void;
  /** Root of the first `size` entries; null where there are not so many yet. */
  rootAt(size: number): TreeHash | null;
  leafAt(index: number): TreeHash;
}

export function createGrowingTree(): GrowingTree {
  let size = 0;
  const pages: HashList[] = [];
  let page: HashList = createHashList(new ArrayBuffer(0));
  /** All complete subtrees from the kept level up, by level above it. */
  const complete: TreeHash[][] = [];
  const fold = createSubtreeFold(KEPT_WIDTH);

  /** Folds the leaves that have filled a subtree, all at once: hashing between other work takes twice as long. */
  const fill = (): void => {
    let node = fold(page, (size - KEPT_WIDTH) % PAGE, KEPT_WIDTH);
    for (let level = 0; ; level += 1) {
      const nodes = (complete[level] ??= []);
      nodes.push(node);
      if (nodes.length % 2 === 1) return;
      node = nodeHash(nodes[nodes.length - 2] as TreeHash, node);
    }
  };
  const subtree = ({ level, index }: SubtreeRef): TreeHash => {
    if (level >= KEPT_LEVEL) return complete[level - KEPT_LEVEL]?.[index] as TreeHash;
    const width = 2 ** level;
    const first = index * width;
    return fold(pages[Math.floor(first / PAGE)] as HashList, first % PAGE, width);
  };

  return {
    get size() {
      return size;
    },
    push(leaves, index, count) {
      for (let i = index; i < index + count; i += 1) {
        if (size % PAGE === 0) pages.push((page = createHashList(new ArrayBuffer(PAGE * HASH_BYTES))));
        copyHash(leaves, i, page, size % PAGE);
        size += 1;
        if (size % KEPT_WIDTH === 0) fill();
      }
    },
    rootAt: (at) =>
      !Number.isSafeInteger(at) || at < 0 || at > size ? null : foldSubtrees(rootPlan(at), subtree),
    leafAt: (index) => hashAt(pages[Math.floor(index / PAGE)] as HashList, index % PAGE),
  };
}
