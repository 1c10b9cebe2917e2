import { accessSync, constants, mkdirSync, mkdtempSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";

export interface Workdir {
  /** The directory, private (0700), made when it is first asked for. */
  path(): string;
  /** Removes it with all that is in it, where it was made. */
  remove(): Promise<void>;
}

/**
 * A directory for one tool to work in, below `workRoot`, which is made if it is missing. Most tools need none, and making
 * one waits for whatever the disk is flushing.
 * @throws where nothing could be made there: it is found out before a tool begins, and not under way.
 */
export function createWorkdir(workRoot: string, prefix: string): Workdir {
  const root = statSync(workRoot, { throwIfNoEntry: false });
  if (root === undefined) mkdirSync(workRoot, { recursive: true, mode: 0o700 });
  else if (!root.isDirectory()) throw new Error(`${workRoot} is no directory`);
  accessSync(workRoot, constants.W_OK | constants.X_OK);
  let made: string | null = null;
  return {
    path: () => (made ??= mkdtempSync(join(workRoot, prefix))),
    async remove() {
      if (made !== null) await rm(made, { recursive: true, force: true });
    },
  };
}
