import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { CountersignError } from "../../errors.ts";
import { systemFiles, type Files } from "./files.ts";

// Kernel locks. On Linux they are open-file-description locks: they go when the last descriptor of the lock file is
// closed, so a killed process leaves none behind, and only after a write it had under way has ended.

/** An exclusive lock that every process of a data directory takes around an append. */
export interface DirectoryLock {
  /** True if the lock was free and is now held. */
  tryAcquire(): boolean;
  acquire(): Promise<void>;
  release(): void;
  close(): void;
}

type Locks = typeof import("fs-native-extensions");

/** The addon itself, which the package is a thin wrapper of. */
interface Addon {
  /** Throws `EAGAIN` where another file description holds the lock. */
  tryLock(fd: number, offset: number, length: number, isExclusive: boolean): void;
  unlock(fd: number, offset: number, length: number): void;
}

const load = createRequire(import.meta.url);

/**
 * The locks, without the package's search for its addon, which takes a twentieth of a cold start: the addon of this
 * platform lies where the package's own build puts it. Where it doesn't, or doesn't load, the package has the last word.
 */
function loadLocks(): Locks {
  const addon = loadAddon();
  if (addon === null) return loadPackage();
  return {
    tryLock(fd, offset = 0, length = 0) {
      try {
        addon.tryLock(fd, offset, length, true);
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") return false;
        throw error;
      }
    },
    unlock: (fd) => addon.unlock(fd, 0, 0),
    waitForLock: (fd) => loadPackage().waitForLock(fd),
  };
}

function loadAddon(): Addon | null {
  // There the package refuses the build for glibc, and so do we.
  if (existsSync("/etc/alpine-release")) return null;
  const within = join(
    ...["fs-native-extensions", "prebuilds"],
    ...[`${process.platform}-${process.arch}`, "fs-native-extensions.node"],
  );
  const directories = load.resolve.paths("fs-native-extensions") ?? [];
  // Where packages are looked for, nearest first: resolving the package would read its package.json, and ours.
  const file = directories.map((directory) => join(directory, within)).find((path) => existsSync(path));
  if (file === undefined) return null;
  try {
    const addon = load(file) as Addon;
    return typeof addon.tryLock === "function" && typeof addon.unlock === "function" ? addon : null;
  } catch {
    return null;
  }
}

/** @throws CountersignError `STORE_UNSUPPORTED` where the platform has no build of the lock addon (musl). */
function loadPackage(): Locks {
  try {
    // Not `import`, which takes twice as long over a CommonJS package.
    return load("fs-native-extensions") as Locks;
  } catch (cause) {
    throw new CountersignError(
      "STORE_UNSUPPORTED",
      `no kernel locks on ${process.platform} ${process.arch}`,
      {
        hint: "run on a glibc, macOS or Windows system",
        cause,
      },
    );
  }
}

/** Opens the lock file of a log directory. */
export async function openDirectoryLock(logDir: string, files: Files): Promise<DirectoryLock> {
  const { tryLock, waitForLock, unlock } = loadLocks();
  const fd = files.open(join(logDir, ".lock"), "a+");
  return {
    tryAcquire: () => tryLock(fd),
    // Waiting takes one thread of libuv's pool, and the holder's flush needs another: a process must not have as many
    // stores waiting on one directory as the pool has threads. A gateway has one.
    acquire: () => (tryLock(fd) ? Promise.resolve() : waitForLock(fd)),
    release: () => unlock(fd),
    close: () => files.close(fd),
  };
}

/** Takes the lock of an open file until it is closed; false where another description of the file holds it. */
export const tryLockFile = (fd: number): boolean => loadLocks().tryLock(fd, LOCK_AT, 1);

/** Beyond anything that is written: on Windows a lock keeps others from reading what it covers. */
const LOCK_AT = 2 ** 40;

export interface StewardLock {
  release(): void;
}

/** The steward's lock of a data directory, held until released or until the process ends; null where another has it. */
export async function tryStewardLock(dir: string, files: Files = systemFiles): Promise<StewardLock | null> {
  const { tryLock } = loadLocks();
  const fd = files.open(join(dir, "steward.lock"), "a+");
  if (!tryLock(fd)) {
    files.close(fd);
    return null;
  }
  let isHeld = true;
  return {
    release() {
      if (isHeld) files.close(fd);
      isHeld = false;
    },
  };
}

/** True while some process holds the steward's lock of a data directory. */
export async function isStewardAlive(dir: string): Promise<boolean> {
  const lock = await tryStewardLock(dir);
  lock?.release();
  return lock === null;
}
