import { join } from "node:path";
import type { Digest } from "../../base/digest.ts";
import { CountersignError } from "../../errors.ts";
import { readWhole, writeWhole, type Files } from "./files.ts";

// The newest signed checkpoint, beside the log, so that a log that lost its end does not open as if nothing happened.
//
//   K1. It is written in place after the flush of the entries it covers and before their acknowledgement, and is not
//       flushed itself: whatever version survives a power cut, the log behind it survived too.
//   K2. It is also how one process knows that another one flushed: a killed writer leaves lines without it.
//   K3. A blank file says nothing and is accepted: that is what is left if power fails before the first write-back.
//       A missing or unreadable one is refused.

/** What the store needs of the log's key: notes over size and root, as C2SP signed notes. */
export interface CheckpointSigner {
  signCheckpoint(size: number, root: Digest): string;
  /** Size and root of a note signed by this log's key; null for anything else. */
  openCheckpoint(note: string): { readonly size: number; readonly root: Digest } | null;
}

export interface CheckpointFile {
  /**
   * Size 0 for a blank file.
   * @throws CountersignError `LOG_ROLLED_BACK` if it is missing or not signed by this log's key.
   */
  read(): { readonly size: number; readonly root: Digest | null };
  /** Whether the file covers exactly this head. Signatures are not checked: this is between our own processes (K2). */
  covers(size: number, root: Digest): boolean;
  write(note: string): void;
  close(): void;
}

export const CHECKPOINT_FILE = "checkpoint";

/** The checkpoint file of a log directory. `origin` is its first line. */
export function createCheckpointFile(
  files: Files,
  logDir: string,
  origin: string,
  signer: CheckpointSigner,
): CheckpointFile {
  const path = join(logDir, CHECKPOINT_FILE);
  let fd: number | null = null;
  let length = 0;
  const descriptor = (): number => (fd ??= files.open(path, "r+"));
  const text = (): string | null => {
    const bytes = readWhole(files, path);
    if (bytes === null) return null;
    length = bytes.length;
    // The size line grows at powers of ten. Power failing just then may leave the old text with the new length or the
    // new text with the old one: a NUL too many, or a newline too few.
    const trimmed = bytes.toString("utf8").replace(/[\0\n]+$/, "");
    return trimmed === "" ? "" : `${trimmed}\n`;
  };
  return {
    read() {
      const note = text();
      if (note === "") return { size: 0, root: null };
      const opened = note === null ? null : signer.openCheckpoint(note);
      if (opened !== null) return opened;
      throw new CountersignError(
        "LOG_ROLLED_BACK",
        `${path} is ${note === null ? "missing" : "not a checkpoint that this log's key signed"}`,
        {
          hint: "see what it holds: countersign log verify; to accept the log as it stands, put an empty file in its place",
        },
      );
    },
    covers(size, root) {
      const bytes = Buffer.alloc(512);
      const count = files.read(descriptor(), bytes, 0, bytes.length, 0);
      const base64 = Buffer.from(root.slice(7), "hex").toString("base64");
      return bytes.toString("latin1", 0, count).startsWith(`${origin}\n${size}\n${base64}\n`);
    },
    write(note) {
      const bytes = Buffer.from(note);
      writeWhole(files, descriptor(), bytes, 0);
      if (bytes.length < length) files.truncate(descriptor(), bytes.length);
      length = bytes.length;
    },
    close() {
      if (fd !== null) files.close(fd);
      fd = null;
    },
  };
}

/** Makes the blank checkpoint of a new log. The caller flushes the directory. */
export async function createBlankCheckpoint(files: Files, logDir: string): Promise<void> {
  const path = join(logDir, CHECKPOINT_FILE);
  if (files.exists(path)) return;
  const fd = files.open(path, "a+");
  try {
    await files.flush(fd);
  } finally {
    files.close(fd);
  }
}
