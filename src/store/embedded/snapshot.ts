import { createHmac, timingSafeEqual } from "node:crypto";
import { Low } from "lowdb";
import { MAX_ENTRY_BYTES } from "../../log/entry.ts";
import { fromHex, leafHash, type TreeHash } from "../../log/merkle.ts";
import { createDurableFile } from "./durable-file.ts";
import type { Files } from "./files.ts";
import { jsonInTurns } from "./json-in-turns.ts";
import type { JournalState } from "./journal.ts";
import { segmentPath, type Cursor } from "./segments.ts";

// `state.json`: the fold as it was at some size of the log, so that opening does not replay everything.
//
//   N1. It is a cache. Absent, torn, old, of another release or not fitting the log, it is left aside and the log
//       replayed; only the log and its checkpoint decide what is true.
//   N2. The gate acts on what it restores, so the file carries a MAC under a key derived from the log's: what others
//       could write there is not believed.

export interface Snapshot {
  readonly v: 1;
  /** Which release wrote it: another one may fold differently. */
  readonly release: string;
  readonly cursor: Cursor;
  readonly root: string;
  readonly lastLeaf: string;
  /** Unfilled tiles per tile level, as base64 of their hashes. */
  readonly pending: readonly string[];
  /** The keys that the log has had: verifier keys, each with the first size that it may sign. */
  readonly keys: readonly { readonly key: string; readonly from: number }[];
  /** As the fold gave it: nothing that later entries change. */
  readonly fold: unknown;
}

export interface SnapshotFile {
  /** Null if there is none that can be believed. */
  read(): Promise<Snapshot | null>;
  write(snapshot: Snapshot): Promise<void>;
}

// `{"mac":"<64 hex digits>","snapshot":` … `}\n`: the MAC is over the bytes in between.
const frame = (mac: string): readonly [front: string, back: string] => [`{"mac":"${mac}","snapshot":`, "}\n"];
const FRONT_BYTES = frame("0".repeat(64))[0].length;

/** The snapshot file of a store; `key` is derived from the log's key that is in force. */
export function createSnapshotFile(
  files: Files,
  path: string,
  key: () => Uint8Array,
  release: string,
): SnapshotFile {
  const adapter = createDurableFile<Snapshot | null>({
    path,
    files,
    whenChanged: "replace",
    async encode(snapshot) {
      const mac = createHmac("sha256", key());
      const pieces = await jsonInTurns(snapshot);
      for (const piece of pieces) mac.update(piece);
      const [front, back] = frame(mac.digest("hex"));
      return [Buffer.from(front), ...pieces, Buffer.from(back)];
    },
    decode(bytes) {
      const text = bytes.subarray(FRONT_BYTES, -2);
      const front = Buffer.from(frame(createHmac("sha256", key()).update(text).digest("hex"))[0]);
      const found = bytes.subarray(0, FRONT_BYTES);
      if (found.length !== FRONT_BYTES || !timingSafeEqual(found, front)) return null;
      const snapshot = JSON.parse(text.toString("utf8")) as Snapshot;
      return snapshot.v === 1 && snapshot.release === release && Array.isArray(snapshot.keys)
        ? snapshot
        : null;
    },
  });
  return {
    async read() {
      const db = new Low<Snapshot | null>(adapter, null);
      await db.read();
      return db.data;
    },
    write: (snapshot) => new Low<Snapshot | null>(adapter, snapshot).write(),
  };
}

export const encodePending = (pending: readonly (readonly TreeHash[])[]): string[] =>
  pending.map((hashes) => Buffer.from(hashes.join(""), "latin1").toString("base64"));

function decodePending(pending: readonly string[]): TreeHash[][] {
  return pending.map((text) => {
    const all = Buffer.from(text, "base64").toString("latin1");
    return Array.from({ length: all.length / 32 }, (_, i) => all.slice(i * 32, i * 32 + 32));
  });
}

/** What the journal continues from, if the snapshot's last line stands in the log where it says; else null (N1). */
export function fitSnapshot(files: Files, logDir: string, snapshot: Snapshot): JournalState | null {
  const { cursor } = snapshot;
  const lastLeaf = fromHex(snapshot.lastLeaf);
  if (lastLeaf === undefined) return null;
  if (cursor.offset > 0 && lastLineLeaf(files, logDir, cursor) !== lastLeaf) return null;
  return { cursor, pending: decodePending(snapshot.pending), lastLeaf };
}

function lastLineLeaf(files: Files, logDir: string, cursor: Cursor): TreeHash {
  const path = segmentPath(logDir, cursor.segment);
  if ((files.stat(path)?.size ?? 0) < cursor.offset) return "";
  const fd = files.open(path, "r");
  try {
    const length = Math.min(cursor.offset, MAX_ENTRY_BYTES + 2);
    const bytes = Buffer.alloc(length);
    const count = files.read(fd, bytes, 0, length, cursor.offset - length);
    if (count !== length || bytes[length - 1] !== 0x0a) return "";
    return leafHash(bytes.subarray(bytes.lastIndexOf(0x0a, length - 2) + 1, length - 1));
  } finally {
    files.close(fd);
  }
}
