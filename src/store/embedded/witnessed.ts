import { join } from "node:path";
import type { Digest } from "../../base/digest.ts";
import { CountersignError } from "../../errors.ts";
import { readWhole, type Files } from "./files.ts";

/** A checkpoint of this log that left the home, as a witness noted it. */
export interface NotedHead {
  readonly size: number;
  readonly root: Digest;
  /** Path of the note. */
  readonly path: string;
}

/** More witnesses than anyone has; a directory that somebody filled must not slow every start. */
const MOST = 32;

/**
 * What witnesses noted in `<data>/witnessed`, as far as this log's key signed it: anybody could have put a file there, but
 * nobody a signature under it.
 */
export function readNoted(
  files: Files,
  dataDir: string,
  open: (note: string) => { readonly size: number; readonly root: Digest } | null,
): readonly NotedHead[] {
  const dir = join(dataDir, "witnessed");
  if (!files.exists(dir)) return [];
  const names = files.list(dir).filter((name) => name.endsWith(".checkpoint"));
  return names.slice(0, MOST).flatMap((name) => {
    const path = join(dir, name);
    const head = open(readWhole(files, path)?.toString("utf8") ?? "");
    return head === null ? [] : [{ ...head, path }];
  });
}

/** @throws CountersignError `LOG_ROLLED_BACK` where the log is not what a witness saw */
export async function refuseOlderThanNoted(
  noted: readonly NotedHead[],
  log: { readonly size: number; rootAt(size: number): Promise<string> },
): Promise<void> {
  for (const { size, root, path } of noted) {
    const isThere = size <= log.size && root === `sha256:${await log.rootAt(size)}`;
    if (isThere) continue;
    const what = size > log.size ? `the log has ${log.size} entries` : "the log differs";
    throw new CountersignError("LOG_ROLLED_BACK", `${what}; a witness saw ${size} (${path})`, {
      hint: "compare with what the witness keeps: countersign log verify --against PLACE; to accept the log as it stands, remove that file",
    });
  }
}
