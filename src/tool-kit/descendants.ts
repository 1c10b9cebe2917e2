import { readdir, readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

// Which processes a piece of work started, and whether any of them is still there afterwards. A process that was put
// into a session of its own, or whose parent died, is found too, because the tree is sampled all the time.

export interface Descendants {
  /** Stops sampling and gives the ids that are still alive `graceMs` later; null where the platform can't tell. */
  survivors(graceMs: number): Promise<readonly number[] | null>;
}

const SAMPLE_MS = 2;

export function watchDescendants(): Descendants {
  const seen = new Map<number, string>();
  let running = true;
  const sampling = (async (): Promise<boolean> => {
    while (running) {
      const all = await listProcesses();
      if (all === null) return false;
      // A child of a process seen before counts even when its parent has just gone.
      for (let grew = true; grew;) {
        grew = false;
        for (const one of all.values()) {
          const known = one.parent === process.pid || seen.has(one.parent);
          if (known && !seen.has(one.pid)) {
            seen.set(one.pid, one.start);
            grew = true;
          }
        }
      }
      await sleep(SAMPLE_MS);
    }
    return true;
  })();
  return {
    async survivors(graceMs) {
      const deadline = performance.now() + graceMs;
      running = false;
      if (!(await sampling)) return null;
      for (;;) {
        const all = await listProcesses();
        const alive = [...seen].filter(([pid, start]) => all?.get(pid)?.start === start).map(([pid]) => pid);
        if (alive.length === 0 || performance.now() > deadline) return alive;
        await sleep(20);
      }
    },
  };
}

interface ProcessLine {
  readonly pid: number;
  readonly parent: number;
  /** Start time; a pid that comes again has another. */
  readonly start: string;
}

async function listProcesses(): Promise<ReadonlyMap<number, ProcessLine> | null> {
  if (process.platform !== "linux") return null;
  const found = new Map<number, ProcessLine>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "latin1").catch(() => "");
    // proc(5): the name stands in brackets and may hold anything; after it come state, ppid, … and starttime (22nd).
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, parent, start] = [fields[0], fields[1], fields[19]];
    if (state === undefined || parent === undefined || start === undefined || state === "Z") continue;
    found.set(Number(name), { pid: Number(name), parent: Number(parent), start });
  }
  return found;
}
