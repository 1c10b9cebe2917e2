import { hash } from "node:crypto";

// The Merkle tree of RFC 6962 over the exact bytes of the log's lines.
//
// Inside, a hash is a string of 32 characters U+0000–U+00FF, one per byte: Node makes such a digest two to four times
// faster than a Buffer, and it can be a map key. Hex stands only at the edges (`toHex`, `fromHex`).
//
//   M1. leaf = SHA-256(0x00 ‖ line), node = SHA-256(0x01 ‖ left ‖ right): a leaf can never be passed off as a node.
//   M2. Sizes and indexes are safe integers, so arithmetic is used where 32-bit operators would wrap.

/** 32 bytes as a latin1 string. */
export type TreeHash = string & { readonly __treeHash?: never };

const HASH_BYTES = 32;

/** What Node's types know as "binary" only, under the name that takes it less time. */
const LATIN1 = "latin1" as "binary";

// Scratch for one synchronous call each; nothing is remembered between calls.
const nodeInput = Buffer.alloc(1 + 2 * HASH_BYTES, 1);

/** SHA-256(0x00 ‖ line) (RFC 6962 §2.1). */
export function leafHash(line: Uint8Array): TreeHash {
  const input = Buffer.allocUnsafe(line.length + 1);
  input[0] = 0;
  input.set(line, 1);
  return hash("sha256", input, LATIN1);
}

/** {@link leafHash} for a caller that owns the byte before the line and has set it to 0: no copy. */
export const leafHashInPlace = (zeroAndLine: Uint8Array): TreeHash => hash("sha256", zeroAndLine, LATIN1);

/** SHA-256(0x01 ‖ left ‖ right) (RFC 6962 §2.1). */
export function nodeHash(left: TreeHash, right: TreeHash): TreeHash {
  // Character by character: joining and writing the strings takes as long as hashing them.
  for (let i = 0; i < HASH_BYTES; i += 1) {
    nodeInput[1 + i] = left.charCodeAt(i);
    nodeInput[1 + HASH_BYTES + i] = right.charCodeAt(i);
  }
  return hash("sha256", nodeInput, LATIN1);
}

/** Root of the empty tree: SHA-256 of nothing. */
export const EMPTY_ROOT: TreeHash = hash("sha256", "", LATIN1);

export const toHex = (treeHash: TreeHash): string => Buffer.from(treeHash, "latin1").toString("hex");

/** The hash in 64 lower-case hex digits; undefined for any other text. */
export function fromHex(hex: string): TreeHash | undefined {
  return /^[0-9a-f]{64}$/.test(hex) ? Buffer.from(hex, "hex").toString("latin1") : undefined;
}

export const toBytes = (treeHash: TreeHash): Buffer => Buffer.from(treeHash, "latin1");

export const isTreeHash = (value: string): boolean =>
  value.length === HASH_BYTES && !/[^\0-\xff]/.test(value);

/** What is kept of a tree to append to it and to know its root: the roots of its complete subtrees, left to right. */
export interface Frontier {
  readonly size: number;
  push(leaf: TreeHash): void;
  root(): TreeHash;
  toJSON(): FrontierState;
}

export interface FrontierState {
  readonly size: number;
  /** Lower-case hex, largest subtree first; one per set bit of `size`. */
  readonly peaks: readonly string[];
}

/**
 * A frontier, empty or continued from what `toJSON` gave.
 * @throws RangeError where the state is not one that `toJSON` could have given.
 */
export function createFrontier(from?: FrontierState): Frontier {
  let size = 0;
  const peaks: TreeHash[] = [];
  if (from !== undefined) {
    if (!Number.isSafeInteger(from.size) || from.size < 0) throw new RangeError(`frontier size ${from.size}`);
    for (const hex of from.peaks) {
      const peak = fromHex(hex);
      if (peak === undefined) throw new RangeError("a frontier hash is not 64 lower-case hex digits");
      peaks.push(peak);
    }
    if (peaks.length !== setBits(from.size))
      throw new RangeError("a frontier has one hash per set bit of its size");
    size = from.size;
  }
  return {
    get size() {
      return size;
    },
    push(leaf) {
      let node = leaf;
      // A complete left neighbour of the same height stands wherever the size ends in a one.
      for (let rest = size; rest % 2 === 1; rest = (rest - 1) / 2)
        node = nodeHash(peaks.pop() as TreeHash, node);
      peaks.push(node);
      size += 1;
    },
    root: () => foldPeaks(peaks),
    toJSON: () => ({ size, peaks: peaks.map(toHex) }),
  };
}

function foldPeaks(peaks: readonly TreeHash[]): TreeHash {
  let root = peaks.at(-1);
  if (root === undefined) return EMPTY_ROOT;
  for (let i = peaks.length - 2; i >= 0; i -= 1) root = nodeHash(peaks[i] as TreeHash, root);
  return root;
}

function setBits(value: number): number {
  let count = 0;
  for (let rest = value; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}

/** Root of a list of leaves. */
export function rootOf(leaves: Iterable<TreeHash>): TreeHash {
  const frontier = createFrontier();
  for (const leaf of leaves) frontier.push(leaf);
  return frontier.root();
}
