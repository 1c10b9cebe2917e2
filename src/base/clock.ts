/** Wall time and monotonic time, both in milliseconds. Passed in, so that tests own time. */
export interface Clock {
  /** Epoch milliseconds, UTC. May jump. */
  now(): number;
  /** Milliseconds since some fixed point. Never goes back. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};

/** `2026-11-21T10:00:00.000Z`: the only form in which a time stands in an entry. */
export type Timestamp = string;

export const timestamp = (epochMs: number): Timestamp => new Date(epochMs).toISOString();

/** Epoch milliseconds of a timestamp; NaN for anything `timestamp` would not have written. */
export function parseTimestamp(text: Timestamp): number {
  const ms = Date.parse(text);
  return Number.isFinite(ms) && timestamp(ms) === text ? ms : Number.NaN;
}
