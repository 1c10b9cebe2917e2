import { readFileSync } from "node:fs";
import { systemFiles, type Files } from "../../src/store/embedded/files.ts";

// The store's file calls with a fault at a chosen one. Only calls that change something count.

/**
 * What goes wrong at the chosen call:
 *   lost      it does nothing and fails
 *   happened  it does all of it and fails
 *   half      a write does half of it and fails; other calls as `lost`, and so the checkpoint's: it lies within one
 *             sector, which is written or not
 *   dies      the process ends before it: this and every later call fails
 *   died      the process ends after it
 */
export type FaultMode = "lost" | "happened" | "half" | "dies" | "died";

export interface FaultyFiles extends Files {
  /** Changing calls so far, as `write 000001.jsonl`. */
  readonly calls: readonly string[];
  /** True once the fault has struck. */
  readonly struck: boolean;
  /** Closes what a dead process would no longer hold: locks go with it. */
  bury(): void;
}

export function faultyFiles(fault?: {
  readonly at: number;
  readonly mode: FaultMode;
  readonly code?: string;
}): FaultyFiles {
  const calls: string[] = [];
  const names = new Map<number, string>();
  let isDead = false;
  let struck = false;
  const failure = (): Error => Object.assign(new Error("injected"), { code: fault?.code ?? "EIO" });
  const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1).replace(/[0-9a-f]{12}/, "…");

  /** Runs a changing call; `half` does part of it. */
  const step = <T>(what: string, call: () => T, half?: () => void): T => {
    // A flush fails in its own time, like the system's.
    const fail = (): T => {
      if (what.startsWith("flush")) return Promise.reject(failure()) as T;
      throw failure();
    };
    if (isDead) return fail();
    calls.push(what);
    if (fault === undefined || calls.length - 1 !== fault.at) return call();
    struck = true;
    isDead = fault.mode === "dies" || fault.mode === "died";
    if (fault.mode === "half") half?.();
    if (fault.mode === "happened" || fault.mode === "died") {
      const result = call();
      if (result instanceof Promise) {
        return result.then(() => {
          throw failure();
        }) as T;
      }
    }
    return fail();
  };
  const alive = <T>(call: () => T): T => {
    if (isDead) throw failure();
    return call();
  };

  const files: Files = {
    open(path, flags) {
      const call = (): number => {
        const fd = systemFiles.open(path, flags);
        names.set(fd, nameOf(path));
        return fd;
      };
      return flags.startsWith("r") ? alive(call) : step(`open ${flags} ${nameOf(path)}`, call);
    },
    close(fd) {
      if (!names.delete(fd)) return;
      systemFiles.close(fd);
    },
    read: (...args) => alive(() => systemFiles.read(...args)),
    readLater: (...args) => alive(() => systemFiles.readLater(...args)),
    write: (fd, from, at, length, position) =>
      step(
        `write ${names.get(fd)}`,
        () => systemFiles.write(fd, from, at, length, position),
        () => {
          if (names.get(fd) !== "checkpoint")
            systemFiles.write(fd, from, at, Math.ceil(length / 2), position);
        },
      ),
    size: (fd) => alive(() => systemFiles.size(fd)),
    truncate: (fd, length) => step(`truncate ${names.get(fd)}`, () => systemFiles.truncate(fd, length)),
    flush: (fd) => step(`flush ${names.get(fd)}`, () => systemFiles.flush(fd)),
    flushDirectory: (path) => step(`flushDirectory ${nameOf(path)}`, () => systemFiles.flushDirectory(path)),
    exists: (path) => alive(() => systemFiles.exists(path)),
    stat: (path) => alive(() => systemFiles.stat(path)),
    list: (path) => alive(() => systemFiles.list(path)),
    makeDirectory: (path) => step(`makeDirectory ${nameOf(path)}`, () => systemFiles.makeDirectory(path)),
    rename: (from, to) => step(`rename ${nameOf(to)}`, () => systemFiles.rename(from, to)),
    link: (from, to) => step(`link ${nameOf(to)}`, () => systemFiles.link(from, to)),
    unlink: (path) => step(`unlink ${nameOf(path)}`, () => systemFiles.unlink(path)),
    removeTree: (path) => step(`removeTree ${nameOf(path)}`, () => systemFiles.removeTree(path)),
  };
  return {
    ...files,
    calls,
    get struck() {
      return struck;
    },
    bury() {
      isDead = true;
      for (const fd of names.keys()) systemFiles.close(fd);
      names.clear();
    },
  };
}

/** The lines of a log directory's segments, for a look past the store. */
export const rawLines = (logDir: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) =>
    readFileSync(`${logDir}/${String(i + 1).padStart(6, "0")}.jsonl`, "utf8")
      .split("\n")
      .slice(0, -1),
  ).flat();
