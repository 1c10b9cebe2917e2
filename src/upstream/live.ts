import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Adapter } from "lowdb";
import { CountersignError } from "../errors.ts";
import { acceptInto, compareUpstreams, type Acceptance, type ComparedUpstream } from "./compare.ts";
import { formatLock, LOCK_FILE, parseLock, type Lock } from "./lock.ts";
import { createPool, type PoolParts } from "./pool.ts";
import { readLock } from "./read-registrations.ts";
import type { UpstreamRegistrations } from "./registration.ts";

export interface LiveParts extends Omit<PoolParts, "workRoot"> {
  readonly configFile: string | null;
  readonly registrations: UpstreamRegistrations;
  /** A lowdb adapter that writes durably, and refuses where somebody changed the file meanwhile. */
  createFile(parts: {
    readonly path: string;
    encode(lock: Lock): string;
    decode(bytes: Buffer): Lock | null;
  }): Adapter<Lock>;
}

export interface Live {
  readonly aliases: readonly string[];
  compare(only: string | null): Promise<readonly ComparedUpstream[]>;
  accept(wanted: readonly Acceptance[]): Promise<string>;
}

/** Connections to the registered servers while `work` runs, for whoever looks at or accepts definitions. */
export async function withLiveUpstreams<T>(parts: LiveParts, work: (live: Live) => Promise<T>): Promise<T> {
  const workRoot = await mkdtemp(join(tmpdir(), "countersign-upstream-"));
  const pool = createPool({ ...parts, workRoot });
  try {
    return await work({
      aliases: Object.keys(parts.registrations),
      async compare(only) {
        if (parts.configFile === null) return [];
        const lock = await readLock(parts.configFile);
        if (!lock.ok) throw invalid(lock.error);
        return compareUpstreams(parts.registrations, lock.value, pool, only);
      },
      async accept(wanted) {
        const path = join(dirname(parts.configFile as string), LOCK_FILE);
        const file = parts.createFile({
          path,
          encode: formatLock,
          decode(bytes) {
            const lock = parseLock(bytes.toString("utf8"), path);
            if (!lock.ok) throw invalid(lock.error);
            return lock.value;
          },
        });
        await acceptInto(file, parts.registrations, pool, wanted);
        return path;
      },
    });
  } finally {
    await pool.close();
    await rm(workRoot, { recursive: true, force: true });
  }
}

const invalid = (errors: readonly string[]): CountersignError =>
  new CountersignError("CONFIG_INVALID", errors[0] ?? "the lock does not load", {
    hint: "restore it from git, or remove it and accept again",
    details: { errors },
  });
