import type { Clock } from "../../base/clock.ts";
import { CountersignError } from "../../errors.ts";

// Keeps one wrong reading of the wall clock out of the log. An entry dated in the future would hold back the time of
// every entry after it (S2), and with it every grant.
//
//   W1. A reading more than 5 s ahead of where the monotonic clock says the wall clock should be is refused.
//   W2. A clock that stays at its new reading for 5 s is believed: it was set on purpose, or the machine slept, which
//       the monotonic clock does not count. So no jump closes the gate for ever.

export const MAX_AHEAD_MS = 5_000;
const SETTLE_MS = 5_000;

export interface ClockGuard {
  /**
   * The wall clock, epoch milliseconds.
   * @throws CountersignError `ENTRY_FROM_FUTURE`
   */
  now(): number;
  /** Looks at the clock, so that a jump while nothing is written has settled by the next append. */
  observe(): void;
}

export function createClockGuard(clock: Clock): ClockGuard {
  /** What to add to the monotonic clock to get the wall clock that is believed. */
  let offset = clock.now() - clock.monotonic();
  /** A new offset that was seen, and the monotonic time from which it has held. */
  let candidate: { offset: number; since: number } | null = null;

  /** Milliseconds by which the wall clock is ahead of the estimate; 0 once it is believed. */
  const look = (): { wall: number; ahead: number } => {
    const wall = clock.now();
    const monotonic = clock.monotonic();
    const seen = wall - monotonic;
    const ahead = seen - offset;
    if (ahead <= MAX_AHEAD_MS) {
      offset = seen;
      candidate = null;
      return { wall, ahead: 0 };
    }
    if (candidate === null || Math.abs(seen - candidate.offset) > MAX_AHEAD_MS) {
      candidate = { offset: seen, since: monotonic };
    }
    if (monotonic - candidate.since < SETTLE_MS) return { wall, ahead };
    offset = seen;
    candidate = null;
    return { wall, ahead: 0 };
  };

  return {
    now() {
      const { wall, ahead } = look();
      if (ahead === 0) return wall;
      throw new CountersignError(
        "ENTRY_FROM_FUTURE",
        `the wall clock jumped ${Math.round(ahead / 1_000)}s ahead; nothing is written until it has held for 5s`,
        {
          hint: "try again in a few seconds; if it stays, check the machine's time source",
          details: { aheadMs: ahead },
        },
      );
    },
    observe() {
      look();
    },
  };
}
