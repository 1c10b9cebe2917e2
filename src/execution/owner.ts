import { readFileSync } from "node:fs";
import type { ClaimOwner } from "./entries.ts";
import { newId } from "../base/id.ts";

// Whether the process behind a claim still lives. Pid and start time together: a pid alone is reused.

/** Start time of a process as the kernel tells it; null where it is gone or the platform does not tell. */
export function processStart(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // proc(5): field 22, counted after the command name, which may hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}

/** This process as the owner of claims; `at` is epoch milliseconds. */
export const thisOwner = (at: number): ClaimOwner => ({
  boot: newId("boot", at),
  pid: process.pid,
  start: processStart(process.pid) ?? String(at),
});

/** False only where it is certain that the owner is gone. */
export function isAlive(owner: ClaimOwner, self: ClaimOwner): boolean {
  if (owner.boot === self.boot) return true;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: the pid is somebody else's process, which after a restart of the machine says nothing about ours.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  const start = processStart(owner.pid);
  return start === null || start === owner.start;
}
