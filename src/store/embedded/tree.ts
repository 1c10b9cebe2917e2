import { hash } from "node:crypto";

// The RFC 6962 §2.1 Merkle tree over the log's lines, grown one leaf at a time.
//
// Hashes are 32-character latin1 strings in here: a digest as Buffer costs two to four times as much, nearly all of it
// allocation. They become bytes or hex at the edges.
//
// The tree keeps, per tile level (every eighth tree level), the hashes that do not fill a tile of 256 yet, and a
// frontier of at most one complete subtree per level. Everything older is in the tiles.

/** 32 bytes as a latin1 string. */
export type Hash = string;

export const HASH_BYTES = 32;
export const TILE_HEIGHT = 8;
export const TILE_WIDTH = 256;

/** SHA-256(0x00 ‖ line). `prefixed` holds the line from `start + 1` to `end`; the byte at `start` is overwritten. */
export function leafHashIn(prefixed: Buffer, start: number, end: number): Hash {
  prefixed[start] = 0;
  return hash("sha256", prefixed.subarray(start, end), "binary");
}

/** SHA-256(0x00 ‖ line). */
export function leafHash(line: Uint8Array): Hash {
  const prefixed = Buffer.allocUnsafe(line.length + 1);
  prefixed.set(line, 1);
  return leafHashIn(prefixed, 0, prefixed.length);
}

const EMPTY_ROOT: Hash = hash("sha256", "", "binary");

/** SHA-256(0x01 ‖ left ‖ right). */
export function nodeHash(left: Hash, right: Hash): Hash {
  return hash("sha256", Buffer.from(`\u0001${left}${right}`, "latin1"), "binary");
}

export const hashToHex = (value: Hash): string => Buffer.from(value, "latin1").toString("hex");
export const hashFromHex = (hex: string): Hash => Buffer.from(hex, "hex").toString("latin1");

/** Root of a complete subtree over a power of two of neighbouring nodes. */
export function foldComplete(hashes: readonly Hash[]): Hash {
  let level = hashes;
  while (level.length > 1) {
    const above: Hash[] = [];
    for (let i = 0; i < level.length; i += 2) above.push(nodeHash(level[i] as Hash, level[i + 1] as Hash));
    level = above;
  }
  return level[0] as Hash;
}

/** Called with every tile that fills: its 256 hashes, its tile level and its index there. */
export type TileSink = (level: number, index: number, hashes: readonly Hash[]) => void;

export interface Tree {
  readonly size: number;
  push(leaf: Hash): void;
  root(): Hash;
  /** Hashes of the last, unfilled tile per tile level. */
  readonly pending: readonly (readonly Hash[])[];
}

/** An empty tree, or the tree of `size` leaves whose unfilled tiles are `pending`. */
export function createTree(
  onTile: TileSink,
  from?: { size: number; pending: readonly (readonly Hash[])[] },
): Tree {
  let size = from?.size ?? 0;
  const pending: Hash[][] = (from?.pending ?? []).map((hashes) => [...hashes]);
  const frontier: (Hash | undefined)[] = from === undefined ? [] : frontierOf(size, pending);

  /** Places a complete node; where two neighbours are complete their parent is. */
  const place = (node: Hash, atLevel: number): void => {
    let level = atLevel;
    let current = node;
    for (;;) {
      if (level % TILE_HEIGHT === 0) {
        const tileLevel = level / TILE_HEIGHT;
        const tile = (pending[tileLevel] ??= []);
        tile.push(current);
        if (tile.length === TILE_WIDTH) {
          onTile(tileLevel, Math.floor(size / 2 ** (level + TILE_HEIGHT)), tile);
          pending[tileLevel] = [];
        }
      }
      const left = frontier[level];
      if (left === undefined) {
        frontier[level] = current;
        return;
      }
      frontier[level] = undefined;
      current = nodeHash(left, current);
      level += 1;
    }
  };

  return {
    get size() {
      return size;
    },
    push(leaf) {
      place(leaf, 0);
      size += 1;
    },
    root() {
      let root: Hash | undefined;
      for (const node of frontier) {
        if (node !== undefined) root = root === undefined ? node : nodeHash(node, root);
      }
      return root ?? EMPTY_ROOT;
    },
    pending,
  };
}

/** The complete subtrees of a tree of `size` leaves, by level, computed from its unfilled tiles. */
function frontierOf(size: number, pending: readonly (readonly Hash[])[]): (Hash | undefined)[] {
  const frontier: (Hash | undefined)[] = [];
  for (const [tileLevel, hashes] of pending.entries()) {
    const due = Math.floor(size / TILE_WIDTH ** tileLevel) % TILE_WIDTH;
    if (hashes.length !== due)
      throw new RangeError(`tile level ${tileLevel}: ${hashes.length} hashes, not ${due}`);
    let end = hashes.length;
    for (let bit = 0; bit < TILE_HEIGHT; bit += 1) {
      const width = 2 ** bit;
      if (Math.floor(hashes.length / width) % 2 === 0) continue;
      frontier[tileLevel * TILE_HEIGHT + bit] = foldComplete(hashes.slice(end - width, end));
      end -= width;
    }
  }
  if (Math.floor(size / TILE_WIDTH ** pending.length) > 0) throw new RangeError("tile levels are missing");
  return frontier;
}

/** The hash of a complete subtree: `index` counts the nodes of its tree level. */
export type NodeSource = (level: number, index: number) => Hash;

/** Root of the leaves from `from` to `to`, RFC 6962's MTH over that range. */
export function rangeHash(node: NodeSource, from: number, to: number): Hash {
  const width = to - from;
  if (width === 0) return EMPTY_ROOT;
  const split = splitOf(width);
  if (width === 1 || split * 2 === width) return node(Math.round(Math.log2(width)), from / width);
  return nodeHash(rangeHash(node, from, from + split), rangeHash(node, from + split, to));
}

/** The largest power of two smaller than `width`. */
function splitOf(width: number): number {
  let split = 1;
  while (split * 2 < width) split *= 2;
  return split;
}

/** RFC 6962 §2.1.1: the audit path of leaf `index` in the tree of `size` leaves, leaf side first. */
export function inclusionPath(node: NodeSource, index: number, size: number): Hash[] {
  const path: Hash[] = [];
  let from = 0;
  let to = size;
  while (to - from > 1) {
    const middle = from + splitOf(to - from);
    if (index < middle) {
      path.push(rangeHash(node, middle, to));
      to = middle;
    } else {
      path.push(rangeHash(node, from, middle));
      from = middle;
    }
  }
  return path.reverse();
}

/** RFC 6962 §2.1.2: the proof that the tree of `newSize` leaves extends that of `oldSize`. */
export function consistencyPath(node: NodeSource, oldSize: number, newSize: number): Hash[] {
  if (oldSize === 0 || oldSize === newSize) return [];
  const path: Hash[] = [];
  let from = 0;
  let to = newSize;
  while (to !== oldSize) {
    const middle = from + splitOf(to - from);
    if (oldSize <= middle) {
      path.push(rangeHash(node, middle, to));
      to = middle;
    } else {
      path.push(rangeHash(node, from, middle));
      from = middle;
    }
  }
  // The old tree itself is known to whoever checks; a subtree of it is not.
  if (from > 0) path.push(rangeHash(node, from, to));
  return path.reverse();
}
