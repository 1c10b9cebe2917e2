import { EMPTY_ROOT, nodeHash, type TreeHash } from "../../log/merkle.ts";

// The Merkle tree over the log's lines as the embedded store grows it: one leaf at a time, old hashes out of memory.
//
// It keeps, per tile level (every eighth tree level), the hashes that do not fill a tile of 256 yet, and a frontier of
// at most one complete subtree per level. Everything older is in the tiles.

export const HASH_BYTES = 32;
export const TILE_HEIGHT = 8;
export const TILE_WIDTH = 256;

/** Root of a complete subtree over a power of two of neighbouring nodes. */
export function foldComplete(hashes: readonly TreeHash[]): TreeHash {
  let level = hashes;
  while (level.length > 1) {
    const above: TreeHash[] = [];
    for (let i = 0; i < level.length; i += 2)
      above.push(nodeHash(level[i] as TreeHash, level[i + 1] as TreeHash));
    level = above;
  }
  return level[0] as TreeHash;
}

/** Called with every tile that fills: its 256 hashes, its tile level and its index there. */
export type TileSink = (level: number, index: number, hashes: readonly TreeHash[]) => void;

export interface Tree {
  readonly size: number;
  push(leaf: TreeHash): void;
  root(): TreeHash;
  /** Hashes of the last, unfilled tile per tile level. */
  readonly pending: readonly (readonly TreeHash[])[];
}

/** An empty tree, or the tree of `size` leaves whose unfilled tiles are `pending`. */
export function createTree(
  onTile: TileSink,
  from?: { size: number; pending: readonly (readonly TreeHash[])[] },
): Tree {
  let size = from?.size ?? 0;
  const pending: TreeHash[][] = (from?.pending ?? []).map((hashes) => [...hashes]);
  const frontier: (TreeHash | undefined)[] = from === undefined ? [] : frontierOf(size, pending);

  /** Places a complete node; where two neighbours are complete their parent is. */
  const place = (node: TreeHash, atLevel: number): void => {
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
      let root: TreeHash | undefined;
      for (const node of frontier) {
        if (node !== undefined) root = root === undefined ? node : nodeHash(node, root);
      }
      return root ?? EMPTY_ROOT;
    },
    pending,
  };
}

/** The complete subtrees of a tree of `size` leaves, by level, computed from its unfilled tiles. */
function frontierOf(size: number, pending: readonly (readonly TreeHash[])[]): (TreeHash | undefined)[] {
  const frontier: (TreeHash | undefined)[] = [];
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
