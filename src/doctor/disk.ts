import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { DEFAULT_LIMITS } from "../config/settings.ts";
import { isFault } from "../errors.ts";
import { systemFiles } from "../store/embedded/files.ts";
import { openDirectoryLock } from "../store/embedded/lock.ts";
import { refuseUnsafePlace } from "../store/embedded/place.ts";
import { fail, fine, warn, type Check } from "./check.ts";

const mebibytes = (bytes: number): string => `${Math.floor(bytes / 2 ** 20)} MiB`;
/** A request makes a dozen files; below this the next few hundred fail in strange ways. */
const FEW_INODES = 10_000;

/** Room for entries and documents. */
export const checkDisk: Check = {
  name: "disk",
  needs: "data",
  async look({ dataDir, settings }) {
    const least = settings?.limits.minFreeBytes ?? DEFAULT_LIMITS.minFreeBytes;
    const { bavail, bsize, files, ffree } = await statfs(dataDir);
    const free = bavail * bsize;
    if (free < least) {
      return [
        fail(
          `${mebibytes(free)} free, below the ${mebibytes(least)} of limits.min_free: new calls are refused`,
          "make room, or lower limits.min_free knowing that a full disk stops the gate",
        ),
      ];
    }
    if (files > 0 && ffree === 0) return [fail("no inode is free", "remove files, or make the disk larger")];
    if (files > 0 && ffree < FEW_INODES)
      return [warn(`${ffree} inodes are free`, "documents are files: make room before they run out")];
    if (free < 4 * least)
      return [
        warn(`${mebibytes(free)} free; below ${mebibytes(least)} new calls are refused`, "make room soon"),
      ];
    return [fine(`${mebibytes(free)} free`)];
  },
};

/** A file system that locks between processes, and is no network's or sync program's. */
export const checkLock: Check = {
  name: "locks",
  needs: "data",
  async look({ dataDir }) {
    const logDir = join(dataDir, "log");
    try {
      await refuseUnsafePlace(dataDir);
    } catch (error) {
      if (isFault(error)) return [fail(error.message, error.hint ?? "choose a home on a local disk")];
      throw error;
    }
    // Opening it would make it: without one there is nothing to try, and nothing that relies on it.
    if (!systemFiles.exists(join(logDir, ".lock"))) return [fine("not tried: there is no log yet")];
    const [one, two] = [
      await openDirectoryLock(logDir, systemFiles),
      await openDirectoryLock(logDir, systemFiles),
    ];
    try {
      // Held by a gateway this moment: then it works as well.
      const isOurs = one.tryAcquire();
      const isShared = isOurs && two.tryAcquire();
      if (isShared) {
        return [
          fail(
            "this file system grants one lock twice: two processes would write over each other",
            "choose a home on a local disk: --home DIR",
          ),
        ];
      }
      return [fine("kernel locks work here")];
    } finally {
      one.close();
      two.close();
    }
  },
};
