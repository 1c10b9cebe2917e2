import { CountersignError } from "../../errors.ts";
import { leafHash, toHex, type TreeHash } from "../../log/merkle.ts";
import { consistencyPlan, foldPlan, foldSubtrees, inclusionPlan, rootPlan } from "../../log/merkle-proof.ts";
import type { Journal } from "./journal.ts";
import type { LogReader } from "./reader.ts";
import { createSubtreeSource, TileMismatch, type TileFiles } from "./tiles.ts";
import { createTree } from "./tree.ts";

/** Proofs over the tree of a journal, all as lower-case hex, in time that grows with the logarithm of the log. */
export interface Proofs {
  inclusion(seq: number, size: number): Promise<readonly string[]>;
  consistency(oldSize: number, newSize: number): Promise<readonly string[]>;
  rootAt(size: number): Promise<string>;
}

/** Proofs over what `journal` holds; tiles that do not fit are rebuilt from its lines. */
export function createProofs(journal: Journal, tiles: TileFiles, reader: LogReader): Proofs {
  const subtree = createSubtreeSource(journal.tree, tiles);

  const rebuild = async (): Promise<void> => {
    const root = journal.tree.root();
    const fresh = createTree(tiles.write);
    for await (const line of reader.lines(0, journal.cursor)) fresh.push(leafHash(line.bytes));
    if (fresh.root() !== root) throw changedSince();
  };
  const withTiles = async <T>(use: () => T): Promise<T> => {
    try {
      return use();
    } catch (error) {
      if (!(error instanceof TileMismatch)) throw error;
    }
    await rebuild();
    try {
      return use();
    } catch (error) {
      throw error instanceof TileMismatch ? changedSince(error) : error;
    }
  };
  const refuse = (isInside: boolean, what: string): void => {
    if (!isInside) throw new RangeError(`${what}; the log has ${journal.cursor.size} entries`);
  };
  const hex = (path: readonly TreeHash[]): string[] => path.map(toHex);

  return {
    async inclusion(seq, size) {
      refuse(
        seq >= 0 && seq < size && size <= journal.cursor.size,
        `no proof of entry ${seq} at size ${size}`,
      );
      return withTiles(() => hex(foldPlan(inclusionPlan(seq, size), subtree)));
    },
    async consistency(oldSize, newSize) {
      refuse(
        oldSize >= 0 && oldSize <= newSize && newSize <= journal.cursor.size,
        `no proof ${oldSize} to ${newSize}`,
      );
      return withTiles(() => hex(foldPlan(consistencyPlan(oldSize, newSize), subtree)));
    },
    async rootAt(size) {
      refuse(size >= 0 && size <= journal.cursor.size, `no root at size ${size}`);
      if (size === journal.tree.size) return toHex(journal.tree.root());
      return withTiles(() => toHex(foldSubtrees(rootPlan(size), subtree)));
    },
  };
}

const changedSince = (cause?: unknown): CountersignError =>
  new CountersignError("LOG_CORRUPT", "lines of the log were changed after they were written", {
    hint: "countersign verify shows which entries a copy proves",
    cause,
  });
