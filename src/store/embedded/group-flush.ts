import { MOST_IDLE_MS } from "../store.ts";

/**
 * Flushes of one file for whoever wrote to it: everybody who asks before a flush begins shares it, and it covers what
 * was written until then. Where one fails, all after it do: the system may have dropped what later ones would cover, and
 * says so once.
 */
export interface GroupFlush {
  now(): Promise<void>;
  /** With the next flush that somebody waits for, or after {@link MOST_IDLE_MS}. */
  riding(): Promise<void>;
}

export function createGroupFlush(flush: () => Promise<void>): GroupFlush {
  let running: Promise<void> | null = null;
  let next: Promise<void> | null = null;
  let failure: { readonly cause: unknown } | null = null;
  let riders: { readonly flushed: Promise<void>; board(flight: Promise<void>): void } | null = null;

  const begin = (): Promise<void> => {
    next = null;
    const flushed = failure === null ? flush() : Promise.reject(failure.cause);
    const work = flushed
      .catch((cause: unknown) => {
        failure ??= { cause };
        throw cause;
      })
      .finally(() => {
        if (running === work) running = null;
      });
    running = work;
    riders?.board(work);
    riders = null;
    return work;
  };
  // Those that write in one go share the first one; those that come while one is under way, the one after it.
  const now = (): Promise<void> =>
    (next ??= (running === null ? Promise.resolve() : running.catch(() => undefined)).then(begin));

  return {
    now,
    riding() {
      if (riders !== null) return riders.flushed;
      let board: (flight: Promise<void>) => void = () => undefined;
      const timer = setTimeout(() => void now().catch(() => undefined), MOST_IDLE_MS);
      const flushed = new Promise<void>((resolve) => {
        board = (flight) => {
          clearTimeout(timer);
          resolve(flight);
        };
      });
      riders = { flushed, board };
      return flushed;
    },
  };
}
