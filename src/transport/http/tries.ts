import { formatDuration } from "../../base/duration.ts";
import { CountersignError } from "../../errors.ts";

// Tries that failed, by whom they came from and whom they were about. In memory: a restart forgives, and what must not
// be guessed has 80 bits or a signature.

export interface Tries {
  /** @throws CountersignError `TOO_MANY_TRIES` while any of the keys is locked out */
  demand(keys: readonly string[]): void;
  failed(keys: readonly string[]): void;
  succeeded(keys: readonly string[]): void;
}

export interface TryLimits {
  /** Failures of one key within the window that lock it out. */
  readonly most: (key: string) => number;
  readonly windowMs: number;
  readonly lockMs: number;
}

const MOST_KEYS = 10_000;

/** `monotonic` in milliseconds. `onLock` is told of each lock-out. */
export function createTries(
  monotonic: () => number,
  limits: TryLimits,
  onLock: (key: string) => void = () => undefined,
): Tries {
  const known = new Map<string, { failures: number; since: number; lockedUntil: number }>();
  return {
    demand(keys) {
      const now = monotonic();
      for (const key of keys) {
        const left = (known.get(key)?.lockedUntil ?? 0) - now;
        if (left <= 0) continue;
        throw new CountersignError("TOO_MANY_TRIES", "too many tries failed", {
          hint: `wait ${formatDuration(left)}, then try again`,
          details: { retryAfterMs: Math.ceil(left) },
        });
      }
    },
    failed(keys) {
      const now = monotonic();
      for (const key of keys) {
        const before = known.get(key);
        const isOpen = before !== undefined && now - before.since < limits.windowMs;
        const failures = (isOpen ? before.failures : 0) + 1;
        const isLocked = failures >= limits.most(key);
        known.delete(key);
        known.set(key, {
          failures: isLocked ? 0 : failures,
          since: isOpen && !isLocked ? before.since : now,
          lockedUntil: isLocked ? now + limits.lockMs : (before?.lockedUntil ?? 0),
        });
        if (isLocked) onLock(key);
      }
      // A locked key is not pushed out by a flood of others: those that are free go first.
      for (const [key, { lockedUntil }] of known) {
        if (known.size <= MOST_KEYS) break;
        if (lockedUntil <= now) known.delete(key);
      }
      for (const key of known.keys()) {
        if (known.size <= MOST_KEYS * 2) break;
        known.delete(key);
      }
    },
    succeeded(keys) {
      for (const key of keys) known.delete(key);
    },
  };
}
