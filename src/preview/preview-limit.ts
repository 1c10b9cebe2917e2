import type { Clock } from "../base/clock.ts";

/** Previews cost time, disk and backend calls, so each principal has so many at once and so many an hour. */
export interface PreviewLimit {
  /**
   * Takes a place, waiting for one where others of the same principal are at it: the way to give it back, or
   * milliseconds after which it may be asked again, where the hour is used up or too many wait already.
   */
  enter(principal: string): Promise<{ readonly leave: () => void } | { readonly retryAfterMs: number }>;
}

const HOUR_MS = 3_600_000;
/** How many principals are remembered; above it the ones idle longest are forgotten. */
const MAX_PRINCIPALS = 10_000;
/** An agent that asks for several things at once is served in turn; a flood is not queued. */
const MAX_WAITING = 20;

interface OnePrincipal {
  running: number;
  /** When, the oldest first. */
  readonly started: number[];
  readonly waiting: (() => void)[];
}

export function createPreviewLimit(parts: {
  readonly clock: Clock;
  readonly atOnce: number;
  readonly perHour: number;
  /** Milliseconds somebody waits for a place at most: a tool that never ends must not hold others for ever. */
  readonly waitMs: number;
}): PreviewLimit {
  // Insertion order is the order of last use. Times are monotonic, so that a wall clock set back frees nobody.
  const principals = new Map<string, OnePrincipal>();

  const forgetIdle = (now: number): void => {
    for (const [key, one] of principals) {
      const idle =
        one.running === 0 && one.waiting.length === 0 && (one.started.at(-1) ?? 0) <= now - HOUR_MS;
      if (!idle && principals.size <= MAX_PRINCIPALS) return;
      if (one.running === 0 && one.waiting.length === 0) principals.delete(key);
    }
  };

  return {
    async enter(principal) {
      const now = parts.clock.monotonic();
      forgetIdle(now);
      const one = principals.get(principal) ?? { running: 0, started: [], waiting: [] };
      principals.set(principal, one);
      if (one.running >= parts.atOnce) {
        if (one.waiting.length >= MAX_WAITING) return { retryAfterMs: 1_000 };
        // Whoever leaves hands the place over, so that nobody slips in between.
        if (!(await placeOf(one, parts.waitMs))) return { retryAfterMs: 1_000 };
      } else one.running += 1;
      const give = (): void => {
        const next = one.waiting.shift();
        if (next === undefined) one.running -= 1;
        else next();
      };
      const entered = parts.clock.monotonic();
      // In their order, so only those whose hour is over are looked at.
      while ((one.started[0] ?? entered) <= entered - HOUR_MS) one.started.shift();
      const oldest = one.started[0];
      if (one.started.length >= parts.perHour && oldest !== undefined) {
        give();
        return { retryAfterMs: Math.ceil(oldest + HOUR_MS - entered) };
      }
      one.started.push(entered);
      principals.delete(principal);
      principals.set(principal, one);
      let left = false;
      return {
        leave() {
          if (!left) give();
          left = true;
        },
      };
    },
  };
}

/** True once a place was handed over; false when the time was up first. */
function placeOf(one: OnePrincipal, waitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const take = (): void => {
      clearTimeout(timer);
      resolve(true);
    };
    const timer = setTimeout(() => {
      one.waiting.splice(one.waiting.indexOf(take), 1);
      resolve(false);
    }, waitMs);
    one.waiting.push(take);
  });
}
