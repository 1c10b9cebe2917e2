import type { Clock } from "../base/clock.ts";

/** Previews cost time, disk and backend calls, so each principal has so many at once and so many an hour. */
export interface PreviewLimit {
  /** Takes a place: the way to give it back, or milliseconds after which it may be asked again. */
  enter(principal: string): { readonly leave: () => void } | { readonly retryAfterMs: number };
}

const HOUR_MS = 3_600_000;
/** How many principals are remembered; above it the ones idle longest are forgotten. */
const MAX_PRINCIPALS = 10_000;

export function createPreviewLimit(parts: {
  readonly clock: Clock;
  readonly atOnce: number;
  readonly perHour: number;
}): PreviewLimit {
  // Insertion order is the order of last use. Times are monotonic, so that a wall clock set back frees nobody.
  const principals = new Map<string, { running: number; started: number[] }>();

  const forgetIdle = (now: number): void => {
    for (const [key, one] of principals) {
      const idle = one.running === 0 && (one.started.at(-1) ?? 0) <= now - HOUR_MS;
      if (!idle && principals.size <= MAX_PRINCIPALS) return;
      if (one.running === 0) principals.delete(key);
    }
  };

  return {
    enter(principal) {
      const now = parts.clock.monotonic();
      forgetIdle(now);
      const one = principals.get(principal) ?? { running: 0, started: [] };
      one.started = one.started.filter((at) => at > now - HOUR_MS);
      if (one.running >= parts.atOnce) return { retryAfterMs: 1_000 };
      const oldest = one.started[0];
      if (one.started.length >= parts.perHour && oldest !== undefined) {
        return { retryAfterMs: Math.ceil(oldest + HOUR_MS - now) };
      }
      one.running += 1;
      one.started.push(now);
      principals.delete(principal);
      principals.set(principal, one);
      let left = false;
      return {
        leave() {
          if (!left) one.running -= 1;
          left = true;
        },
      };
    },
  };
}
