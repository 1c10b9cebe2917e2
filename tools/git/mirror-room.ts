import { lstat, opendir, rm } from "node:fs/promises";
import { join } from "node:path";
import { ToolRefusal } from "../../src/tool.ts";
import type { Git } from "./git.ts";
import { LockBusy, withLock } from "./lock.ts";

// The room a mirror takes: who may write it now, how much it may hold, and how it is given back.

/** Refs that hold the objects of requests. */
export const KEEP = "refs/countersign/keep/";

const LOCK_WAIT_MS = 60_000;

/** Name under which a request's objects are held: sortable by the second it was made in. */
export const keepName = (requestId: string, epochMs: number): string =>
  `${String(Math.floor(epochMs / 1_000)).padStart(12, "0")}-${requestId}`;

/** One fetch or sweep at a time in a mirror. */
export async function exclusively<T>(dir: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await withLock(dir, { signal, waitMs: LOCK_WAIT_MS }, work);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof LockBusy) throw new ToolRefusal("source_slow", "another fetch takes too long");
    throw error;
  }
}

/** Drops the objects of requests made before `olderThan` (epoch ms) and gives their room back. */
export async function pruneMirror(
  git: Git,
  dir: string,
  olderThan: number,
  signal: AbortSignal,
): Promise<void> {
  if (!(await isDirectory(dir))) return;
  await exclusively(dir, signal, async () => {
    const refs = await git.run({
      args: ["for-each-ref", "--format=%(refname)", KEEP],
      gitDir: dir,
      signal,
      stdoutBytes: 16 * 1024 * 1024,
    });
    const limit = keepName("", olderThan);
    const old = refs.stdout
      .toString("utf8")
      .split("\n")
      .filter((name) => name.startsWith(KEEP) && name.slice(KEEP.length) < limit);
    if (old.length === 0) return;
    await git.run({
      args: ["update-ref", "--stdin"],
      gitDir: dir,
      signal,
      input: old.map((name) => `delete ${name}\n`).join(""),
    });
    // Whatever is needed has a name: a fetch names what it brings before it gives the lock back.
    await git.run({ args: ["gc", "--quiet", "--prune=now"], gitDir: dir, signal });
  });
}

/** Removes what a fetch that was killed has left. Only under the lock. */
export async function sweepUnfinished(dir: string): Promise<void> {
  const packs = join(dir, "objects", "pack");
  for await (const entry of await opendir(packs)) {
    if (entry.name.startsWith("tmp_")) await rm(join(packs, entry.name), { force: true });
  }
}

/** Aborts `stop` when the mirror grows above its cap: git has no limit of its own on what a fetch may bring. */
export function watchSize(dir: string, maxBytes: number, stop: AbortController): { stop(): void } {
  let running = true;
  let timer: NodeJS.Timeout;
  const look = async (): Promise<void> => {
    if ((await directoryBytes(join(dir, "objects"), maxBytes)) > maxBytes) stop.abort();
    else if (running) timer = setTimeout(() => void look(), 250);
  };
  timer = setTimeout(() => void look(), 250);
  return {
    stop() {
      running = false;
      clearTimeout(timer);
    },
  };
}

/** Bytes in a directory; counting stops above `enough`. */
export async function directoryBytes(path: string, enough: number): Promise<number> {
  let bytes = 0;
  try {
    for await (const entry of await opendir(path)) {
      const at = join(path, entry.name);
      bytes += entry.isDirectory() ? await directoryBytes(at, enough) : (await lstat(at)).size;
      if (bytes > enough) break;
    }
  } catch {
    // Files come and go while git writes; what is gone takes no room.
  }
  return bytes;
}

export async function isDirectory(path: string): Promise<boolean> {
  return lstat(path).then(
    (stat) => stat.isDirectory(),
    () => false,
  );
}
