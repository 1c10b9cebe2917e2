import { plainLine } from "./plain-text.ts";

export interface Progress {
  /** Tells the client at once. */
  say(message: string): void;
  /** Nothing is sent after this: a client may treat progress on a finished request as an error. */
  stop(): void;
}

export const PROGRESS_EVERY_MS = 10_000;

/**
 * Progress of one held call: every message at once, and the newest one again every `everyMs`, so that clients that
 * extend their timeout on progress do. `progress` counts up strictly, as MCP demands; there is no total, because
 * nobody knows how long people take.
 */
export function createProgress(
  send: (progress: number, message: string) => Promise<void>,
  everyMs: number = PROGRESS_EVERY_MS,
): Progress {
  let count = 0;
  let newest = "working";
  let stopped = false;
  const tell = (): void => {
    if (stopped) return;
    count += 1;
    // A client that cannot be told is gone, or about to be; its request stays as it is.
    send(count, newest).catch(() => undefined);
  };
  const timer = setInterval(tell, everyMs);
  return {
    say(message) {
      newest = plainLine(message, 300);
      tell();
    },
    stop() {
      stopped = true;
      clearInterval(timer);
    },
  };
}

/** For clients that gave no progress token. */
export const noProgress: Progress = { say: () => undefined, stop: () => undefined };
