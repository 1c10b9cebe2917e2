import type { Logger } from "pino";

/** Counts refusals at the door: a flood of them is one line a minute, not one a request. */
export interface TurnedAwayLog {
  /** `why` is one of a few words of ours, so that an operator sees what is wrong without a line for each. */
  count(status: number, why?: string): void;
  stop(): void;
}

const EVERY_MS = 60_000;

export function createTurnedAwayLog(log: Logger, listener: string): TurnedAwayLog {
  let counts: Record<string, number> = {};
  let timer: NodeJS.Timeout | null = null;
  const flush = (): void => {
    if (Object.keys(counts).length > 0) log.warn({ listener, counts }, "requests turned away");
    counts = {};
    timer = null;
  };
  return {
    count(status, why) {
      const key = why === undefined ? String(status) : `${status} ${why}`;
      counts[key] = (counts[key] ?? 0) + 1;
      // The first is told at once, what follows within the minute together.
      if (timer === null) {
        flush();
        timer = setTimeout(flush, EVERY_MS);
        timer.unref();
      }
    },
    stop() {
      if (timer !== null) clearTimeout(timer);
      flush();
    },
  };
}
