import { EMPTY_ROOT, isTreeHash, nodeHash, type TreeHash } from "./merkle.ts";

// Proofs over the tree of merkle.ts: made from any source of complete subtrees, checked from nothing but the proof.
//
// Making one is split in two, so that any store fits: a *plan* names the complete subtrees it needs, pure arithmetic;
// the store fetches them however it likes; `foldPlan` hashes them into the proof.

/** The complete subtree of 2^`level` leaves that starts at leaf `index`·2^`level`. */
export interface SubtreeRef {
  readonly level: number;
  readonly index: number;
}

/** One proof hash each: the root of consecutive complete subtrees, largest first. */
export type ProofPlan = readonly (readonly SubtreeRef[])[];

/** Which subtrees make the audit path of leaf `index` in the tree of `size` (RFC 6962 §2.1.1). */
export function inclusionPlan(index: number, size: number): ProofPlan {
  if (!isSize(size) || !isSize(index) || index >= size)
    throw new RangeError(`no leaf ${index} in a tree of ${size}`);
  const plan: SubtreeRef[][] = [];
  walk(0, size);
  return plan;

  function walk(begin: number, end: number): void {
    if (end - begin === 1) return;
    const split = begin + largestPowerBelow(end - begin);
    if (index < split) {
      walk(begin, split);
      plan.push(completeSubtrees(split, end));
    } else {
      walk(split, end);
      plan.push(completeSubtrees(begin, split));
    }
  }
}

/** Which subtrees prove that the tree of `newSize` extends that of `oldSize` (RFC 6962 §2.1.2). */
export function consistencyPlan(oldSize: number, newSize: number): ProofPlan {
  if (!isSize(oldSize) || !isSize(newSize) || oldSize > newSize) {
    throw new RangeError(`a tree of ${newSize} does not extend one of ${oldSize}`);
  }
  const plan: SubtreeRef[][] = [];
  if (oldSize > 0 && oldSize < newSize) walk(0, newSize, true);
  return plan;

  function walk(begin: number, end: number, wholeOld: boolean): void {
    if (end === oldSize) {
      if (!wholeOld) plan.push(completeSubtrees(begin, end));
      return;
    }
    const split = begin + largestPowerBelow(end - begin);
    if (oldSize <= split) {
      walk(begin, split, wholeOld);
      plan.push(completeSubtrees(split, end));
    } else {
      walk(split, end, false);
      plan.push(completeSubtrees(begin, split));
    }
  }
}

/** Which subtrees make the root of the first `size` leaves. */
export const rootPlan = (size: number): readonly SubtreeRef[] => completeSubtrees(0, size);

/** Hashes the plan's subtrees into the proof. */
export const foldPlan = (plan: ProofPlan, subtree: (ref: SubtreeRef) => TreeHash): TreeHash[] =>
  plan.map((refs) => foldSubtrees(refs, subtree));

/** Root over consecutive complete subtrees, largest first; the empty root for none. */
export function foldSubtrees(refs: readonly SubtreeRef[], subtree: (ref: SubtreeRef) => TreeHash): TreeHash {
  let root: TreeHash | undefined;
  for (let i = refs.length - 1; i >= 0; i -= 1) {
    const left = subtree(refs[i] as SubtreeRef);
    root = root === undefined ? left : nodeHash(left, root);
  }
  return root ?? EMPTY_ROOT;
}

/** The complete subtrees that cover leaves `begin` to `end`, where `begin` is a multiple of the largest. */
function completeSubtrees(begin: number, end: number): SubtreeRef[] {
  const refs: SubtreeRef[] = [];
  for (let at = begin; at < end;) {
    let level = 0;
    let width = 1;
    while (width * 2 <= end - at) {
      width *= 2;
      level += 1;
    }
    refs.push({ level, index: at / width });
    at += width;
  }
  return refs;
}

function largestPowerBelow(count: number): number {
  let power = 1;
  while (power * 2 < count) power *= 2;
  return power;
}

const isSize = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** The root that the audit path leads to, or null where it has the wrong shape (RFC 9162 §2.1.3.2). */
export function rootFromInclusion(
  index: number,
  size: number,
  leaf: TreeHash,
  proof: readonly TreeHash[],
): TreeHash | null {
  if (!isSize(index) || !isSize(size) || index >= size) return null;
  if (!isTreeHash(leaf) || !proof.every(isTreeHash)) return null;
  let node = index;
  let last = size - 1;
  let root = leaf;
  for (const sibling of proof) {
    if (last === 0) return null;
    if (isOdd(node) || node === last) {
      root = nodeHash(sibling, root);
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else {
      root = nodeHash(root, sibling);
    }
    node = half(node);
    last = half(last);
  }
  return last === 0 ? root : null;
}

/** Whether `leaf` stands at `index` in the tree of `size` with this root. */
export const verifyInclusion = (
  index: number,
  size: number,
  leaf: TreeHash,
  proof: readonly TreeHash[],
  root: TreeHash,
): boolean => rootFromInclusion(index, size, leaf, proof) === root;

/**
 * Whether the tree of `newSize` extends that of `oldSize` (RFC 9162 §2.1.4.2). From size 0 the old root must be the
 * empty tree's and the proof empty: any other root for nothing is a claim that nobody could have signed.
 */
export function verifyConsistency(
  oldSize: number,
  newSize: number,
  oldRoot: TreeHash,
  newRoot: TreeHash,
  proof: readonly TreeHash[],
): boolean {
  if (!isSize(oldSize) || !isSize(newSize) || oldSize > newSize) return false;
  if (!isTreeHash(oldRoot) || !isTreeHash(newRoot) || !proof.every(isTreeHash)) return false;
  if (oldSize === newSize)
    return proof.length === 0 && oldRoot === newRoot && (oldSize > 0 || oldRoot === EMPTY_ROOT);
  if (oldSize === 0) return proof.length === 0 && oldRoot === EMPTY_ROOT;
  // A complete old tree is its own first hash, so the proof leaves it out.
  const hashes = isPowerOfTwo(oldSize) ? [oldRoot, ...proof] : proof;
  const first = hashes[0];
  if (first === undefined) return false;
  let node = oldSize - 1;
  let last = newSize - 1;
  while (isOdd(node)) {
    node = half(node);
    last = half(last);
  }
  let olds = first;
  let news = first;
  for (const sibling of hashes.slice(1)) {
    if (last === 0) return false;
    if (isOdd(node) || node === last) {
      olds = nodeHash(sibling, olds);
      news = nodeHash(sibling, news);
      while (!isOdd(node) && node !== 0) {
        node = half(node);
        last = half(last);
      }
    } else {
      news = nodeHash(news, sibling);
    }
    node = half(node);
    last = half(last);
  }
  return last === 0 && olds === oldRoot && news === newRoot;
}

const isOdd = (value: number): boolean => value % 2 === 1;
const half = (value: number): number => Math.floor(value / 2);
function isPowerOfTwo(value: number): boolean {
  let power = 1;
  while (power < value) power *= 2;
  return power === value;
}
