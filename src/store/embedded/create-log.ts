import { timestamp } from "../../base/clock.ts";
import type { LogId } from "../../base/id.ts";
import { CountersignError } from "../../errors.ts";
import { encodeDraft, encodeEntry, lineText } from "../../log/encode.ts";
import type { EntryDraft } from "../../log/entry.ts";
import { createBlankCheckpoint } from "./checkpoint-file.ts";
import { writeWhole, type Files } from "./files.ts";
import { createKeys, type LogKey } from "./keys.ts";
import { segmentPath } from "./segments.ts";

/** Whether entry 0 stands: a log is there. Anything less is a creation that a crash cut short. */
export function hasLog(files: Files, logDir: string): boolean {
  const path = segmentPath(logDir, 1);
  if (!files.exists(path)) return false;
  if (files.exists(segmentPath(logDir, 2))) return true;
  const fd = files.open(path, "r");
  try {
    const bytes = Buffer.alloc(4096);
    return bytes.subarray(0, files.read(fd, bytes, 0, bytes.length, 0)).includes(0x0a);
  } finally {
    files.close(fd);
  }
}

/**
 * Makes keys, a blank checkpoint and entry 0, in this order, with the directory's lock held. After a crash anywhere in
 * it, doing it again finishes it: a key that was made is kept.
 * @throws CountersignError `LOG_EXISTS`
 */
export async function createLog(parts: {
  readonly files: Files;
  readonly logDir: string;
  readonly keysDir: string;
  readonly version: string;
  readonly now: number;
  readonly newLogId: () => LogId;
}): Promise<LogKey> {
  const { files, logDir, keysDir, version, now, newLogId } = parts;
  if (hasLog(files, logDir)) {
    throw new CountersignError("LOG_EXISTS", `a log already stands in ${logDir}`, {
      hint: "choose another home with --home",
    });
  }
  const key = await createKeys(files, keysDir, newLogId);
  await createBlankCheckpoint(files, logDir);
  const opened: EntryDraft<"log.opened"> = {
    kind: "log.opened",
    subject: "log",
    policy: null,
    data: { log: key.logId, key: key.vkey, countersign: version },
  };
  const line = encodeEntry(encodeDraft(opened), { seq: 0, time: timestamp(now), more: 0 });
  // Not a new name where the crash left one: what it holds is no line, so nobody relies on it.
  const path = segmentPath(logDir, 1);
  const fd = files.open(path, !files.exists(path) ? "wx+" : "r+");
  try {
    files.truncate(fd, 0);
    writeWhole(files, fd, Buffer.from(`${lineText(line)}\n`), 0);
    await files.flush(fd);
  } finally {
    files.close(fd);
  }
  await files.flushDirectory(logDir);
  return key;
}
