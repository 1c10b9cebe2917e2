import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

// One deploy at a time per release root, one fetch at a time per mirror, one apply at a time per workspace. The kernel's
// lock, not a file that says so: it is freed with the process that held it, also after kill -9, and is never stale.

interface NativeLocks {
  tryLock(fd: number): boolean;
}

const LOCK_FILE = ".countersign.lock";
const POLL_MS = 50;

export class LockBusy extends Error {
  override readonly name = "LockBusy";
}

/**
 * Runs `work` while holding the directory's lock. A program that is given the descriptor keeps the lock until it ends,
 * also where this process ends before it.
 * @throws LockBusy where somebody else holds it for longer than `waitMs`
 */
export async function withLock<T>(
  root: string,
  options: { readonly signal: AbortSignal; readonly waitMs: number },
  work: (fd: number) => Promise<T>,
): Promise<T> {
  // Loaded when first needed: a gateway without this tool has no use for native code here.
  const locks = (await import("fs-native-extensions" as string)) as NativeLocks;
  const file = await open(
    join(root, LOCK_FILE),
    constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    for (let waited = 0; !locks.tryLock(file.fd); waited += POLL_MS) {
      if (options.signal.aborted) throw new LockBusy("stopped while somebody else is at work here");
      if (waited >= options.waitMs) throw new LockBusy("somebody else is at work here");
      await sleep(POLL_MS);
    }
    return await work(file.fd);
  } finally {
    await file.close();
  }
}
