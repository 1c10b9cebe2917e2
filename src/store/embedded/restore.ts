import { CountersignError } from "../../errors.ts";
import { decodeEntry } from "../../log/encode.ts";
import { MAX_ENTRY_BYTES, type Entry } from "../../log/entry.ts";
import { toHex } from "../../log/merkle.ts";
import type { FoldPort } from "../store.ts";
import type { Files } from "./files.ts";
import type { KeyRing } from "./key-ring.ts";
import { openJournal, type Journal, type JournalParts } from "./journal.ts";
import type { LogKey } from "./keys.ts";
import { corruptAt, countSegments, segmentPath } from "./segments.ts";
import { fitSnapshot, type Snapshot, type SnapshotFile } from "./snapshot.ts";
import { readNoted, refuseOlderThanNoted } from "./witnessed.ts";

// Opening a log: from the snapshot where it fits, else from the first line; then what was written since; then the
// checkpoint has to agree. Called with the directory's lock held.

export interface RestoreParts extends JournalParts {
  readonly fold: FoldPort;
  readonly snapshot: SnapshotFile;
  readonly ring: KeyRing;
  /** Holds what witnesses noted. */
  readonly dataDir: string;
  /** Root, as hex, of the first `size` entries of the journal's tree. */
  readonly rootAt: (journal: Journal, size: number) => Promise<string>;
}

/**
 * What entry 0 says of the log; refuses the key of another one. Which key of this log is in force, its rotations say.
 * @throws CountersignError `LOG_KEY_MISMATCH`, `LOG_CORRUPT`
 */
export function readOpened(files: Files, logDir: string, key: LogKey): Entry<"log.opened">["data"] {
  const fd = files.open(segmentPath(logDir, 1), "r");
  let line: string;
  try {
    const bytes = Buffer.alloc(MAX_ENTRY_BYTES + 1);
    const text = bytes.subarray(0, files.read(fd, bytes, 0, bytes.length, 0)).toString("utf8");
    line = text.slice(0, Math.max(0, text.indexOf("\n")));
  } finally {
    files.close(fd);
  }
  const at = { segment: 1, offset: 0, seq: 0 };
  const first = decodeEntry(line, 0);
  if (!first.ok) throw corruptAt(files, logDir, at, first.error);
  const opened = first.value as Entry<"log.opened">;
  if (opened.kind !== "log.opened") throw corruptAt(files, logDir, at, "the first entry is not log.opened");
  if (opened.data.log !== key.logId || !String(opened.data.key).startsWith(`${key.name}+`)) {
    throw new CountersignError(
      "LOG_KEY_MISMATCH",
      `the log names the key ${String(opened.data.key)}, not ${key.vkey}`,
      {
        hint: "put back the key that was made with this log",
      },
    );
  }
  return opened.data;
}

export interface Restored {
  /** Read to its end and durable; the fold has seen all of it. */
  readonly journal: Journal;
  /** Of how many entries the snapshot on disk is; null where there is none that fits. */
  readonly saved: number | null;
}

/** The log as it stands. */
export async function restoreLog(parts: RestoreParts): Promise<Restored> {
  const { files, logDir, fold, checkpoint, ring } = parts;
  countSegments(files, logDir);
  const snapshot = await parts.snapshot.read();
  const fitting = await fromSnapshot(parts, snapshot);
  const saved = fitting?.cursor.size ?? null;
  const journal = fitting ?? openJournal(parts);
  try {
    const before = journal.cursor.size;
    const rotations: Entry[] = [];
    await journal.readOn((batch) => {
      for (const entry of batch.entries) {
        fold.apply(entry);
        if (entry.kind === "log.key_rotated") rotations.push(entry);
      }
    });
    // A rotation that was cut short after its entry ends here.
    (await ring.prepare(rotations))();
    // Before anything is cut: a log that lost acknowledged entries is refused as it was found.
    const known = checkpoint.read();
    if (known.size > journal.cursor.size) {
      throw rolledBack(`the log has ${journal.cursor.size} entries; ${known.size} were signed`);
    }
    if (known.root !== null && known.root !== `sha256:${await parts.rootAt(journal, known.size)}`) {
      throw rolledBack(`the first ${known.size} entries are not those that were signed`);
    }
    // The snapshot is ours, and was taken of what was durable (N2): the log can't have been shorter.
    if (snapshot !== null && snapshot.cursor.size > journal.cursor.size) {
      throw rolledBack(
        `the log has ${journal.cursor.size} entries; state.json was written with ${snapshot.cursor.size}`,
        "restore the log from a copy that is at least as long; to accept it as it stands, remove state.json",
      );
    }
    await refuseOlderThanNoted(readNoted(files, parts.dataDir, ring.openCheckpoint), {
      size: journal.cursor.size,
      rootAt: (size) => parts.rootAt(journal, size),
    });
    await journal.cutTorn();
    if (journal.cursor.size > before) await journal.settleRead();
    const root = journal.rootDigest();
    if (!checkpoint.covers(journal.cursor.size, root))
      checkpoint.write(ring.signCheckpoint(journal.cursor.size, root));
    return { journal, saved };
  } catch (error) {
    journal.close();
    throw error;
  }
}

async function fromSnapshot(parts: RestoreParts, snapshot: Snapshot | null): Promise<Journal | null> {
  const { files, logDir, fold } = parts;
  if (snapshot === null) return null;
  const state = fitSnapshot(files, logDir, snapshot);
  if (state === null) return null;
  const untouched = JSON.stringify(fold.snapshot());
  let journal: Journal | undefined;
  try {
    journal = openJournal(parts, state);
    if (toHex(journal.tree.root()) !== snapshot.root) throw new RangeError("another root");
    fold.restore(snapshot.fold);
    if (fold.size !== state.cursor.size) throw new RangeError("another size");
    parts.ring.restore(snapshot.keys);
    return journal;
  } catch {
    // Whatever does not fit here is left aside: the log holds all of it (N1).
    journal?.close();
    fold.restore(JSON.parse(untouched));
    return null;
  }
}

const rolledBack = (
  what: string,
  hint = "restore the log from a copy that is at least as long; to see what is missing: countersign log verify",
): CountersignError => new CountersignError("LOG_ROLLED_BACK", what, { hint });
