// How often somebody may knock. In memory and per process: a limit here slows guessing down, and no rule rests on it.

export const API_LIMITS = {
  /** Wrong or missing credentials, by address. */
  strangers: { burst: 60, perMinute: 60 },
  reads: { burst: 600, perMinute: 2_400 },
  writes: { burst: 120, perMinute: 240 },
  /** Proofs that did not verify, by actor. */
  wrongProofs: { burst: 20, perMinute: 20 },
} as const satisfies Record<string, Bucket>;

export type ApiLimit = keyof typeof API_LIMITS;

export interface Bucket {
  readonly burst: number;
  readonly perMinute: number;
}

export interface RateLimits {
  /** Takes one; the milliseconds to wait where there is none left, else null. */
  take(limit: ApiLimit, who: string): number | null;
  /** The same without taking. */
  look(limit: ApiLimit, who: string): number | null;
}

/** So many that knock are told apart; beyond it, whoever has not come for longest is forgotten. */
const MOST_KEYS = 10_000;

export function createRateLimits(
  monotonic: () => number,
  limits: Readonly<Record<ApiLimit, Bucket>> = API_LIMITS,
): RateLimits {
  const known = new Map<string, { left: number; at: number }>();

  const refill = (limit: ApiLimit, who: string): { left: number; at: number } => {
    const { burst, perMinute } = limits[limit];
    const key = `${limit} ${who}`;
    const now = monotonic();
    const before = known.get(key) ?? { left: burst, at: now };
    const state = { left: Math.min(burst, before.left + ((now - before.at) * perMinute) / 60_000), at: now };
    // Deleted first, so that the map's order is the order of last coming.
    known.delete(key);
    known.set(key, state);
    for (const oldest of known.keys()) {
      if (known.size <= MOST_KEYS) break;
      known.delete(oldest);
    }
    return state;
  };
  const wait = (limit: ApiLimit, left: number): number | null =>
    left >= 1 ? null : Math.ceil(((1 - left) * 60_000) / limits[limit].perMinute);

  return {
    take(limit, who) {
      const state = refill(limit, who);
      const waiting = wait(limit, state.left);
      if (waiting === null) state.left -= 1;
      return waiting;
    },
    look: (limit, who) => wait(limit, refill(limit, who).left),
  };
}
