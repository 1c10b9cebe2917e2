import type { Clock } from "../base/clock.ts";
import type { Limits } from "../config/settings.ts";

// Counters per principal and agent (design §11, "Load and disk"). In memory, fixed windows, bounded: an idle pair is
// forgotten. They stop floods; they are not evidence. What was turned away is one `throttled` entry a minute.

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

export type LimitName =
  "heldPerMinute" | "readsPerMinute" | "lookupsPerMinute" | "listsPerMinute" | "blobBytesPerDay";

const WINDOW_MS: Record<LimitName, number> = {
  heldPerMinute: MINUTE_MS,
  readsPerMinute: MINUTE_MS,
  lookupsPerMinute: MINUTE_MS,
  listsPerMinute: MINUTE_MS,
  blobBytesPerDay: DAY_MS,
};

/** Requests that are looked for in the log, because nothing of them is in memory. */
const LOOKUPS_PER_MINUTE = 30;
/** Lists of fronted servers, which are asked each time. */
const LISTS_PER_MINUTE = 120;

export interface Limiter {
  /** Takes `amount`; false where the window has no room, with the time until it has. */
  take(
    who: string,
    limit: LimitName,
    amount?: number,
  ): { readonly ok: boolean; readonly retryAfterMs: number };
  /** Calls turned away since the last asking, by requester and limit. */
  drain(): readonly { readonly who: string; readonly limit: string; readonly count: number }[];
}

interface Window {
  startedAt: number;
  used: number;
}

export function createLimiter(clock: Clock, limits: Limits): Limiter {
  const most: Readonly<Record<LimitName, number>> = {
    ...limits,
    lookupsPerMinute: LOOKUPS_PER_MINUTE,
    listsPerMinute: LISTS_PER_MINUTE,
  };
  const windows = new Map<string, Window>();
  const turnedAway = new Map<string, number>();

  const windowOf = (key: string, lengthMs: number, now: number): Window => {
    const window = windows.get(key);
    if (window !== undefined && now - window.startedAt < lengthMs) return window;
    windows.delete(key);
    const fresh = { startedAt: now, used: 0 };
    windows.set(key, fresh);
    for (const [oldKey, old] of windows) {
      if (windows.size < 10_000 || now - old.startedAt < DAY_MS) break;
      windows.delete(oldKey);
    }
    return fresh;
  };

  return {
    take(who, limit, amount = 1) {
      const now = clock.monotonic();
      const window = windowOf(`${limit} ${who}`, WINDOW_MS[limit], now);
      if (window.used + amount > most[limit]) {
        const key = `${limit} ${who}`;
        turnedAway.set(key, (turnedAway.get(key) ?? 0) + 1);
        return { ok: false, retryAfterMs: Math.ceil(window.startedAt + WINDOW_MS[limit] - now) };
      }
      window.used += amount;
      return { ok: true, retryAfterMs: 0 };
    },
    drain() {
      const counts = [...turnedAway].map(([key, count]) => {
        const space = key.indexOf(" ");
        return { limit: key.slice(0, space), who: key.slice(space + 1), count };
      });
      turnedAway.clear();
      return counts;
    },
  };
}
