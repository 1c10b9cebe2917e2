import { join } from "node:path";
import type { TreeHash } from "../../log/merkle.ts";
import type { SubtreeRef } from "../../log/merkle-proof.ts";
import type { Files } from "./files.ts";
import { foldComplete, HASH_BYTES, TILE_HEIGHT, TILE_WIDTH, type Tree } from "./tree.ts";

// Full tiles of the tree: 256 hashes of one tile level, as 8 KiB records at fixed places in `log/tiles/<level>`.
//
//   T1. Tiles are a cache of the log. They are written without a flush, before the entries under them are durable even;
//       a record always stands at the same place, so writing it again repairs it.
//   T2. A tile is used only if its root is the hash that the tile above holds for it, up to the hashes in memory. A
//       short, stale or edited file is noticed, and rebuilt from the log.

const TILE_BYTES = TILE_WIDTH * HASH_BYTES;
/** 8 KiB each: a proof touches two to four. */
const REMEMBERED = 64;

/** Thrown when a tile is not what the tree above it says. */
export class TileMismatch extends Error {
  override readonly name = "TileMismatch";
}

export interface TileFiles {
  write(level: number, index: number, hashes: readonly TreeHash[]): void;
  /** Null where the file is too short. Unverified. */
  read(level: number, index: number): readonly TreeHash[] | null;
  close(): void;
}

/** The tile files of a log directory; made when the first tile fills. */
export function createTileFiles(files: Files, logDir: string): TileFiles {
  const directory = join(logDir, "tiles");
  const descriptors = new Map<number, number>();
  const descriptor = (level: number, create: boolean): number | null => {
    const open = descriptors.get(level);
    if (open !== undefined) return open;
    const path = join(directory, String(level));
    if (!files.exists(path)) {
      if (!create) return null;
      files.makeDirectory(directory);
      files.close(files.open(path, "a+"));
    }
    const fd = files.open(path, "r+");
    descriptors.set(level, fd);
    return fd;
  };
  return {
    write(level, index, hashes) {
      const fd = descriptor(level, true);
      if (fd !== null)
        files.write(fd, Buffer.from(hashes.join(""), "latin1"), 0, TILE_BYTES, index * TILE_BYTES);
    },
    read(level, index) {
      const fd = descriptor(level, false);
      if (fd === null) return null;
      const bytes = Buffer.alloc(TILE_BYTES);
      if (files.read(fd, bytes, 0, TILE_BYTES, index * TILE_BYTES) !== TILE_BYTES) return null;
      const hashes: TreeHash[] = [];
      for (let at = 0; at < TILE_BYTES; at += HASH_BYTES)
        hashes.push(bytes.toString("latin1", at, at + HASH_BYTES));
      return hashes;
    },
    close() {
      for (const fd of descriptors.values()) files.close(fd);
      descriptors.clear();
    },
  };
}

/** Complete subtrees of the tree from memory and verified tiles (T2); throws {@link TileMismatch}. */
export function createSubtreeSource(tree: Tree, tiles: TileFiles): (ref: SubtreeRef) => TreeHash {
  const verified = new Map<string, readonly TreeHash[]>();

  const filled = (level: number): number => Math.floor(tree.size / TILE_WIDTH ** (level + 1));
  const tile = (level: number, index: number): readonly TreeHash[] => {
    if (index >= filled(level)) return tree.pending[level] ?? [];
    const name = `${level}/${index}`;
    const known = verified.get(name);
    if (known !== undefined) return known;
    const hashes = tiles.read(level, index);
    const parent = tile(level + 1, Math.floor(index / TILE_WIDTH))[index % TILE_WIDTH];
    if (hashes === null || parent === undefined || foldComplete(hashes) !== parent) {
      throw new TileMismatch(`tile ${name}`);
    }
    verified.set(name, hashes);
    for (const oldest of verified.keys()) {
      if (verified.size <= REMEMBERED) break;
      verified.delete(oldest);
    }
    return hashes;
  };

  return ({ level, index }) => {
    const within = 2 ** (level % TILE_HEIGHT);
    const first = index * within;
    const at = first % TILE_WIDTH;
    const hashes = tile(Math.floor(level / TILE_HEIGHT), Math.floor(first / TILE_WIDTH)).slice(
      at,
      at + within,
    );
    if (hashes.length !== within) throw new RangeError(`no node ${index} at level ${level} yet`);
    return foldComplete(hashes);
  };
}
