import type { Clock } from "../../src/base/clock.ts";

/** A clock that tests move. Starts at the real time, because the store compares with file times and ids. */
export interface FakeClock extends Clock {
  advance(ms: number): void;
  /** Sets the wall clock alone, as an administrator or a bad NTP server would. */
  setWall(ms: number): void;
}

export function createFakeClock(): FakeClock {
  let wall = Date.now();
  let monotonic = performance.now();
  return {
    now: () => wall,
    monotonic: () => monotonic,
    advance(ms) {
      wall += ms;
      monotonic += ms;
    },
    setWall(ms) {
      wall = ms;
    },
  };
}
