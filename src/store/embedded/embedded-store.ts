import { dirname, join } from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { Digest } from "../../base/digest.ts";
import { idTime, isId, newId, type RequestId } from "../../base/id.ts";
import { CountersignError } from "../../errors.ts";
import { decodeEntry, peekLine, PREFIX_BYTES } from "../../log/encode.ts";
import type { Entry } from "../../log/entry.ts";
import { toHex } from "../../log/merkle.ts";
import type { FoldPort, Store, StoredLine } from "../store.ts";
import { createBlobStore } from "./blobs.ts";
import { createCheckpointFile, type CheckpointSigner } from "./checkpoint-file.ts";
import { createClockGuard, MAX_AHEAD_MS } from "./clock-guard.ts";
import { createCommitter } from "./committer.ts";
import { createLog, hasLog } from "./create-log.ts";
import { makeDirectories, systemFiles, type Files } from "./files.ts";
import { createKeyRing } from "./key-ring.ts";
import { createNextLogKey, readLogKey, type LogKey } from "./keys.ts";
import { openDirectoryLock } from "./lock.ts";
import { freeBytes, refuseReadableByOthers, refuseUnsafePlace } from "./place.ts";
import { createProofs } from "./proofs.ts";
import { createLogReader } from "./reader.ts";
import { readOpened, restoreLog } from "./restore.ts";
import { SEGMENT_BYTES } from "./segments.ts";
import { createSnapshotFile, encodePending, type Snapshot } from "./snapshot.ts";
import { createTileFiles } from "./tiles.ts";
import { watchLog } from "./watch-log.ts";

// The embedded store: the log's file is the database, the state is its fold, and several processes share a directory.
// Which file keeps which rule: journal.ts J1–J4, committer.ts Q1–Q4, checkpoint-file.ts K1–K3, snapshot.ts N1–N2,
// tiles.ts T1–T2, clock-guard.ts W1–W2, blobs.ts B1–B9.

export interface EmbeddedStoreParts {
  /** Data directory: holds `log/` and `state.json`. */
  readonly dir: string;
  readonly blobsDir: string;
  readonly keysDir: string;
  /** A fold that has seen nothing yet. */
  readonly fold: FoldPort;
  readonly clock: Clock;
  readonly isolation: "service" | "none";
  /** Makes the notes for this log's key. */
  readonly signer: (key: LogKey, isolation: "service" | "none") => CheckpointSigner;
  /** Make a new log; its entry 0 names this version. Absent: open the one that is there. */
  readonly create?: { readonly version: string };
  /** The running release; a snapshot of another one is replayed instead. */
  readonly release?: string;
  readonly segmentBytes?: number;
  /** Told once, when the store closes itself: the process should stop acting. */
  readonly onFault?: (fault: CountersignError) => void;
  readonly files?: Files;
}

export interface EmbeddedStore extends Store {
  /** Writes `state.json`, so that the next start does not replay. A cache: losing it costs time only. */
  writeSnapshot(): Promise<void>;
  /**
   * Puts a new key in force: durable when it resolves; whatever signs from then on signs with it, in every process.
   * @throws CountersignError `LOG_KEY_MISMATCH` where another process was first
   */
  rotateKey(
    policy: Digest | null,
  ): Promise<{ readonly from: string; readonly to: string; readonly seq: number }>;
  /** Bytes free on the disk of the log. */
  freeBytes(): Promise<number>;
}

/**
 * Opens, or with `create` makes, the log of a data directory.
 * @throws CountersignError `HOME_NOT_FOUND`, `HOME_INSECURE`, `LOG_EXISTS`, `LOG_CORRUPT`, `LOG_ROLLED_BACK`,
 * `LOG_KEY_MISMATCH`, `LOG_UNKNOWN_ENTRY`, `STORE_UNSUPPORTED`
 */
export async function openEmbeddedStore(parts: EmbeddedStoreParts): Promise<EmbeddedStore> {
  const { dir, blobsDir, keysDir, fold, clock, files = systemFiles } = parts;
  const logDir = join(dir, "log");
  if (parts.create === undefined && !hasLog(files, logDir)) {
    throw new CountersignError("HOME_NOT_FOUND", `no log in ${logDir}`, {
      hint: "make one: countersign init",
    });
  }
  for (const directory of [logDir, blobsDir, keysDir]) {
    await makeDirectories(files, directory);
    // Also where an earlier attempt made them: it may have ended before their names were on disk.
    if (parts.create !== undefined) await files.flushDirectory(dirname(directory));
  }
  for (const directory of [dir, keysDir]) refuseReadableByOthers(files, directory);
  await refuseUnsafePlace(logDir);

  const lock = await openDirectoryLock(logDir, files);
  const tiles = createTileFiles(files, logDir);
  await lock.acquire();
  try {
    const key =
      parts.create === undefined
        ? readLogKey(files, keysDir)
        : await createLog({
            ...{ files, logDir, keysDir, version: parts.create.version, now: clock.now() },
            newLogId: () => newId("log", clock.now()),
          });
    if (key === null) {
      throw new CountersignError("LOG_KEY_MISMATCH", `${keysDir} holds no log.key`, {
        hint: "put back the key that was made with this log",
      });
    }
    const ring = createKeyRing({
      ...{ files, keysDir, key, opened: readOpened(files, logDir, key), isolation: parts.isolation },
      signerOf: (one) => parts.signer(one, parts.isolation),
    });
    const checkpoint = createCheckpointFile(files, logDir, key.name, ring);
    const reader = createLogReader(files, logDir);
    const release = parts.release ?? "";
    const snapshot = createSnapshotFile(
      files,
      join(dir, "state.json"),
      () => ring.key().derive("snapshot"),
      release,
    );
    const restored = await restoreLog({
      ...{ files, logDir, checkpoint, ring, snapshot, fold, dataDir: dir, onTile: tiles.write },
      segmentBytes: parts.segmentBytes ?? SEGMENT_BYTES,
      rootAt: (opened, size) => createProofs(opened, tiles, reader).rootAt(size),
    });
    lock.release();
    const { journal } = restored;
    let saved = restored.saved;
    const proofs = createProofs(journal, tiles, reader);
    const guard = createClockGuard(clock);
    const committer = createCommitter({
      ...{ journal, lock, fold, guard, checkpoint, ring },
      onFault: parts.onFault ?? (() => undefined),
    });
    const blobs = createBlobStore({ files, blobsDir, keysDir });
    const watch = watchLog(logDir, () => committer.catchUp(), guard.observe);

    const writeSnapshot = async (): Promise<void> => {
      // All in one look: the fold must not be saved with another tree's size.
      const now = await committer.atRest((): Snapshot => {
        return {
          ...{ v: 1, release, cursor: journal.cursor, root: toHex(journal.tree.root()) },
          lastLeaf: toHex(journal.lastLeaf),
          pending: encodePending(journal.tree.pending),
          keys: ring.chain().map(({ key: { text }, from }) => ({ key: text, from })),
          fold: fold.snapshot(),
        };
      });
      await snapshot.write(now);
      saved = now.cursor.size;
    };

    const close = async (): Promise<void> => {
      watch.close();
      await committer.close();
      // Losing the snapshot, on a full disk for one, costs the next start some time and nothing else.
      const isSaved = saved === committer.head().size;
      if (committer.fault() === null && !isSaved) await writeSnapshot().catch(() => undefined);
      await blobs.close();
      for (const part of [journal, checkpoint, tiles, lock]) part.close();
    };
    let closing: Promise<void> | undefined;

    return {
      logId: key.logId,
      head: committer.head,
      append: committer.append,
      catchUp: committer.catchUp,
      lines: (fromSeq) => reader.lines(fromSeq, committer.cursor()),
      entriesOf: (subject) => entriesOf(reader.linesSince, subject, committer.cursor),
      async newestEntries(limit) {
        return reader.newest(limit, committer.cursor()).map(decodeLine);
      },
      async checkpoint() {
        const { size, root } = committer.head();
        return ring.signCheckpoint(size, root);
      },
      rotations: () =>
        ring
          .chain()
          .slice(1)
          .map(({ from }) => from - 1),
      async rotateKey(policy) {
        const from = ring.key();
        const next = await createNextLogKey(files, keysDir, from.logId);
        const { size, root } = committer.head();
        const note = ring.signRotation(next, size, root);
        const result = await committer.append({
          expect: [],
          newKeys: [],
          entries: [
            {
              ...{ kind: "log.key_rotated", subject: "log", policy },
              data: { from: from.vkey, to: next.vkey, note },
            },
          ],
        });
        if (!result.ok) throw new CountersignError("LOG_KEY_MISMATCH", "another process is rotating the key");
        return { from: from.vkey, to: next.vkey, seq: (result.entries[0] as Entry).seq };
      },
      inclusionProof: proofs.inclusion,
      consistencyProof: proofs.consistency,
      rootAt: async (size) => `sha256:${await proofs.rootAt(size)}`,
      follow(listener) {
        const stopListening = committer.follow(listener);
        const stopWatching = watch.start();
        return () => {
          stopListening();
          stopWatching();
        };
      },
      blobs,
      writeSnapshot,
      freeBytes: () => freeBytes(logDir),
      close: () => (closing ??= close()),
    };
  } catch (error) {
    tiles.close();
    // Closing the descriptor lets go of the lock.
    lock.close();
    throw error;
  }
}

const decodeLine = (line: StoredLine): Entry => {
  const decoded = decodeEntry(Buffer.from(line.bytes).toString("utf8"), line.seq);
  if (!decoded.ok) throw new CountersignError("LOG_CORRUPT", `entry ${line.seq}: ${decoded.error}`);
  return decoded.value;
};

/** A request's first entry is written when its preview is there: within hours of its id, and this leaves room for more. */
const FIRST_WITHIN_MS = 7 * 86_400_000;
/** The time of every so many lines is looked at. */
const LOOK_EVERY = 64;

async function* entriesOf(
  linesSince: ReturnType<typeof createLogReader>["linesSince"],
  subject: RequestId,
  cursor: () => Parameters<typeof linesSince>[1],
): AsyncIterable<{ readonly entry: Entry; readonly line: StoredLine }> {
  if (!isId("req", subject)) return;
  // Q4: the id is at most so much younger than its first entry. Quotes are escaped inside JSON strings, so the needle
  // can only be a member called subject; whose member, the parsed entry says.
  const needle = Buffer.from(`"subject":"${subject}"`);
  const made = idTime(subject);
  let isFound = false;
  for await (const line of linesSince(made - MAX_AHEAD_MS, cursor())) {
    const bytes = Buffer.from(line.bytes.buffer, line.bytes.byteOffset, line.bytes.length);
    if (!bytes.includes(needle)) {
      // An id that somebody made up is looked for where it would begin, and not through all that ever happened since.
      if (!isFound && line.seq % LOOK_EVERY === 0) {
        const peek = peekLine(bytes.toString("latin1", 0, PREFIX_BYTES));
        if (peek !== null && peek.time > made + FIRST_WITHIN_MS) return;
      }
      continue;
    }
    const entry = decodeLine(line);
    if (entry.subject !== subject) continue;
    isFound = true;
    yield { entry, line };
  }
}
