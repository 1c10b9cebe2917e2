import { setImmediate } from "node:timers/promises";
import type { Digest } from "../../base/digest.ts";
import { CountersignError } from "../../errors.ts";
import { roomFor, writeLine, type EncodedLine } from "../../log/encode.ts";
import { leafHashInPlace, toHex, type TreeHash } from "../../log/merkle.ts";
import type { CheckpointFile } from "./checkpoint-file.ts";
import { isNoRoom, writeWhole, type Files } from "./files.ts";
import { corruptAt, countSegments, segmentName, segmentPath, START, type Cursor } from "./segments.ts";
import { readBatches, type TailBatch } from "./tail.ts";
import { createTree, type TileSink, type Tree } from "./tree.ts";

// The log's files as one process sees them: it reads on where it stopped, cuts what is incomplete, and appends.
// Everything but `isBehind` is called with the directory's lock held.
//
//   J1. A batch whose lines are not all there was never acknowledged; the holder of the lock cuts it off (S1). Before
//       it does, the checkpoint must not say that more than that was flushed; and the cut is flushed before anything
//       is written in its place, or a power cut could leave the new bytes and the old ones behind them.
//   J2. Lines of another process count only when they are flushed: its checkpoint says so, or we flush them.
//   J3. A write that found no room is cut off again, by whoever holds the lock, and nothing has happened. A flush that failed is never repeated:
//       the kernel may have dropped the pages and would report success.
//   J4. A new segment's name is flushed before the first acknowledgement of an entry in it.

export interface JournalParts {
  readonly files: Files;
  readonly logDir: string;
  readonly segmentBytes: number;
  readonly checkpoint: CheckpointFile;
  readonly onTile: TileSink;
}

export interface JournalState {
  readonly cursor: Cursor;
  readonly pending: readonly (readonly TreeHash[])[];
  readonly lastLeaf: TreeHash;
}

export interface Journal {
  readonly cursor: Cursor;
  readonly tree: Tree;
  /** Leaf of the newest entry; empty before the first. */
  readonly lastLeaf: TreeHash;
  /** Whether the files hold more than was read; asked without the lock. */
  isBehind(): boolean;
  /** Reads complete batches up to the end of the log, in order. The entries are not known to be flushed yet. */
  readOn(onBatch: (batch: TailBatch) => void): Promise<void>;
  /** Makes what was read durable (J2). */
  settleRead(): Promise<void>;
  /** Cuts what stands behind the last complete batch, durably (J1). @throws CountersignError `LOG_ROLLED_BACK` */
  cutTorn(): Promise<void>;
  /**
   * Writes the lines of whole batches and starts their flush; `root` and `cursor` are those behind them at once.
   * @throws CountersignError `STORE_FULL` when there was no room for all of it: then cut. Anything else closes the store.
   */
  write(lines: readonly EncodedLine[], time: number): { readonly flushed: Promise<void> };
  rootDigest(): Digest;
  close(): void;
}

const CHUNK_BYTES = 1024 * 1024;

/** Opens the newest segment known to `state`, or the first. */
export function openJournal(parts: JournalParts, state?: JournalState): Journal {
  const { files, logDir, segmentBytes, checkpoint, onTile } = parts;
  let cursor: Cursor = state?.cursor ?? START;
  let lastLeaf = state?.lastLeaf ?? "";
  const tree =
    state === undefined
      ? createTree(onTile)
      : createTree(onTile, { size: cursor.size, pending: state.pending });
  let fd = files.open(segmentPath(logDir, cursor.segment), "r+");
  /** The newest segment's name may not be on disk yet (J4). */
  let isNameLoose = cursor.offset === 0;
  let scratch = Buffer.allocUnsafe(64 * 1024);

  let root: { readonly size: number; readonly digest: Digest } | null = null;
  const rootDigest = (): Digest => {
    if (root?.size !== tree.size) root = { size: tree.size, digest: `sha256:${toHex(tree.root())}` };
    return root.digest;
  };
  // Asked before every append, so the name is not made each time.
  let next = { segment: 0, path: "" };
  const hasNext = (): boolean => {
    const segment = cursor.segment + 1;
    if (next.segment !== segment) next = { segment, path: segmentPath(logDir, segment) };
    return files.exists(next.path);
  };
  const enterNext = (flags: "r+" | "wx+"): void => {
    const entered = files.open(segmentPath(logDir, cursor.segment + 1), flags);
    files.close(fd);
    fd = entered;
    cursor = { ...cursor, segment: cursor.segment + 1, offset: 0 };
    isNameLoose = true;
  };
  const sizeNow = (): number => {
    const size = files.size(fd);
    if (size < cursor.offset) {
      throw new CountersignError(
        "LOG_ROLLED_BACK",
        `${segmentName(cursor.segment)} is ${size} bytes long and was ${cursor.offset}`,
        { hint: "somebody cut the log while it was open; to see what is left: countersign log verify" },
      );
    }
    return size;
  };

  /** Reads what is complete in the current segment; false if something incomplete follows. */
  const readSegment = async (onBatch: (batch: TailBatch) => void): Promise<boolean> => {
    let chunk = CHUNK_BYTES;
    for (;;) {
      const left = sizeNow() - cursor.offset;
      if (left === 0) return true;
      const length = Math.min(left, chunk);
      const bytes = Buffer.allocUnsafe(length + 1);
      const count = files.read(fd, bytes, 1, length, cursor.offset);
      const { batches, cursor: next, bad } = readBatches(bytes.subarray(0, count + 1), cursor);
      for (const batch of batches) {
        for (const leaf of batch.leaves) tree.push(leaf);
        lastLeaf = batch.leaves.at(-1) ?? lastLeaf;
        onBatch(batch);
      }
      const hasMoved = next.offset > cursor.offset;
      cursor = next;
      if (bad !== null) throw corruptAt(files, logDir, { segment: cursor.segment, ...bad }, bad.why);
      if (!hasMoved && count === left) return false;
      // A batch larger than the chunk.
      if (!hasMoved) chunk *= 2;
      if (count < left) await setImmediate();
    }
  };

  return {
    get cursor() {
      return cursor;
    },
    tree,
    get lastLeaf() {
      return lastLeaf;
    },
    rootDigest,
    isBehind: () => files.size(fd) !== cursor.offset || hasNext(),
    async readOn(onBatch) {
      for (;;) {
        const isWhole = await readSegment(onBatch);
        if (!hasNext()) return;
        if (!isWhole) {
          const at = { segment: cursor.segment, offset: cursor.offset, seq: cursor.size };
          throw corruptAt(files, logDir, at, "an incomplete batch in a segment that is not the last");
        }
        countSegments(files, logDir);
        enterNext("r+");
      }
    },
    async settleRead() {
      // A segment that nothing was written to yet proves nothing about its name.
      if (checkpoint.covers(cursor.size, rootDigest())) {
        isNameLoose &&= cursor.offset === 0;
        return;
      }
      if (isNameLoose) await files.flushDirectory(logDir);
      isNameLoose = false;
      await files.flush(fd);
    },
    async cutTorn() {
      if (sizeNow() === cursor.offset) return;
      const known = checkpoint.read();
      if (known.size > cursor.size) {
        throw new CountersignError(
          "LOG_ROLLED_BACK",
          `${segmentName(cursor.segment)} ends inside entry ${cursor.size}; ${known.size} entries were signed`,
          { hint: "restore the log from a copy; nothing was changed" },
        );
      }
      files.truncate(fd, cursor.offset);
      await files.flush(fd);
    },
    write(lines, time) {
      const room = lines.reduce((sum, line) => sum + roomFor(line), 1);
      if (scratch.length < room) scratch = Buffer.allocUnsafeSlow(room);
      // The byte before each line is where its leaf's prefix goes (M1); before all but the first it is a newline.
      const ends: number[] = [];
      let at = 1;
      for (const line of lines) ends.push((at = writeLine(line, scratch, at)));
      const total = at - 1;
      if (cursor.offset > 0 && cursor.offset + total > segmentBytes) {
        try {
          enterNext("wx+");
        } catch (error) {
          throw isNoRoom(error) ? full(error) : error;
        }
      }
      try {
        writeWhole(files, fd, scratch.subarray(1, at), cursor.offset);
      } catch (error) {
        throw isNoRoom(error) ? full(error) : error;
      }
      const flushing = isNameLoose
        ? Promise.all([files.flushDirectory(logDir), files.flush(fd)])
        : files.flush(fd);
      const before = cursor.offset;
      const flushed = Promise.resolve(flushing).then(
        () => {
          isNameLoose = false;
        },
        (cause: unknown) => {
          // So that no other process takes the lines for good. If even this fails, its own flush has to notice.
          try {
            files.truncate(fd, before);
          } catch {
            // The flush's error is the one to report.
          }
          throw new CountersignError(
            "STORE_CLOSED",
            "a flush of the log failed; the store has closed itself",
            {
              hint: "check the disk, then start again: what the disk holds is taken up",
              cause,
            },
          );
        },
      );
      // While the disk is busy: leaves, and thereby the root that the checkpoint signs.
      let start = 0;
      for (const end of ends) {
        scratch[start] = 0;
        lastLeaf = leafHashInPlace(scratch.subarray(start, end - 1));
        tree.push(lastLeaf);
        start = end - 1;
      }
      cursor = { segment: cursor.segment, offset: before + total, size: cursor.size + lines.length, time };
      return { flushed };
    },
    close: () => files.close(fd),
  };
}

const full = (cause: unknown): CountersignError =>
  new CountersignError("STORE_FULL", "the disk has no room for another entry; nothing was written", {
    hint: "free some space, then try again",
    cause,
  });
