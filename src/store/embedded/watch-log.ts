import { watch, type FSWatcher } from "node:fs";
import { CHECKPOINT_FILE } from "./checkpoint-file.ts";

/** How often the log is looked at where the system's notices do not come. */
const POLL_MS = 1_000;

export interface LogWatch {
  /** Looks out for other processes' entries until the returned function is called. */
  start(): () => void;
  close(): void;
}

/**
 * Calls `catchUp` soon after a file of the log directory changed, and at least once a second, while anybody wants it;
 * `tick` runs every second in any case. A notice may come before the entry behind it is durable: catching up takes the
 * lock, so what it hands on is.
 */
export function watchLog(logDir: string, catchUp: () => Promise<void>, tick: () => void): LogWatch {
  let wanted = 0;
  let watcher: FSWatcher | null = null;
  const look = (): void => {
    // A fault here closes the committer, and the next append reports it.
    if (wanted > 0) catchUp().catch(() => undefined);
  };
  const timer = setInterval(() => {
    tick();
    look();
  }, POLL_MS);
  timer.unref();
  const stop = (): void => {
    watcher?.close();
    watcher = null;
  };
  return {
    start() {
      wanted += 1;
      if (watcher === null) {
        try {
          watcher = watch(logDir, { persistent: false }, (_, name) => {
            // A checkpoint is written after the entries that it signs.
            if (name !== CHECKPOINT_FILE) look();
          });
          // Out of inotify watches, or the directory went away: the poll goes on.
          watcher.on("error", stop);
        } catch {
          watcher = null;
        }
      }
      let isStarted = true;
      return () => {
        if (isStarted) wanted -= 1;
        isStarted = false;
        if (wanted === 0) stop();
      };
    },
    close() {
      clearInterval(timer);
      wanted = 0;
      stop();
    },
  };
}
