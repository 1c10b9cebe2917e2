import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ClaimOwner } from "../execution/entries.ts";
import { isAlive, thisOwner } from "../execution/owner.ts";

// Which gateway serves a home, so that a stdio command started by a host becomes a shim to it instead of a second
// gateway. A hint, not a lock: a stale file is seen by its dead process.

export interface Running {
  readonly owner: ClaimOwner;
  readonly mcp: string;
  readonly api: string;
  /** Absent where an older release wrote it. */
  readonly version?: string;
}

const path = (dataDir: string): string => join(dataDir, "run", "gateway.json");

export async function announce(dataDir: string, running: Running): Promise<void> {
  await mkdir(join(dataDir, "run"), { recursive: true, mode: 0o700 });
  const temporary = `${path(dataDir)}.${process.pid}`;
  await writeFile(temporary, `${JSON.stringify(running)}\n`, { mode: 0o600 });
  await rename(temporary, path(dataDir));
}

/** The gateway that serves this home now, or null. */
export async function findRunning(dataDir: string, now: number): Promise<Running | null> {
  try {
    const running = JSON.parse(await readFile(path(dataDir), "utf8")) as Running;
    return isAlive(running.owner, thisOwner(now)) ? running : null;
  } catch {
    return null;
  }
}

/** Takes the announcement back if it is still this process's own. */
export async function withdrawAnnouncement(dataDir: string): Promise<void> {
  try {
    const { owner } = JSON.parse(await readFile(path(dataDir), "utf8")) as Running;
    if (owner.pid === process.pid) await rm(path(dataDir), { force: true });
  } catch {
    // Gone, or not ours to read: a hint that is wrong is seen by its dead process.
  }
}
