import { expect, test } from "vitest";
import { createClockGuard } from "../../src/store/embedded/clock-guard.ts";

function clockAt(wall: number, monotonic: number) {
  const state = { wall, monotonic };
  return {
    state,
    clock: { now: () => state.wall, monotonic: () => state.monotonic },
    pass(ms: number) {
      state.wall += ms;
      state.monotonic += ms;
    },
  };
}
const refusal = expect.objectContaining({ code: "ENTRY_FROM_FUTURE" }) as Error;

test("a clock that runs is believed, also when it is adjusted in small steps", () => {
  const { clock, pass, state } = clockAt(1_000_000, 0);
  const guard = createClockGuard(clock);
  for (let i = 0; i < 100; i += 1) {
    pass(60_000);
    state.wall += 4_000;
    expect(guard.now()).toBe(state.wall);
  }
});

test("a clock that is set back is believed at once (W1 is about the future only)", () => {
  const { clock, state } = clockAt(1_000_000, 0);
  const guard = createClockGuard(clock);
  state.wall = 0;
  expect(guard.now()).toBe(0);
});

test("after a night's sleep, which the monotonic clock does not count, one look and 5 s suffice (W2)", () => {
  const { clock, pass, state } = clockAt(1_000_000, 0);
  const guard = createClockGuard(clock);
  state.wall += 8 * 3_600_000;
  guard.observe();
  pass(4_999);
  expect(() => guard.now()).toThrow(refusal);
  pass(1);
  expect(guard.now()).toBe(state.wall);
});

test("a clock that keeps jumping is not believed until it stays", () => {
  const { clock, pass, state } = clockAt(1_000_000, 0);
  const guard = createClockGuard(clock);
  for (let i = 0; i < 10; i += 1) {
    state.wall += 60_000;
    pass(3_000);
    expect(() => guard.now()).toThrow(refusal);
  }
  pass(5_000);
  expect(guard.now()).toBe(state.wall);
});

test("a jump that is over before anything was written is forgotten", () => {
  const { clock, pass, state } = clockAt(1_000_000, 0);
  const guard = createClockGuard(clock);
  state.wall += 3_600_000;
  guard.observe();
  state.wall -= 3_600_000;
  pass(10);
  guard.observe();
  state.wall += 3_600_000;
  pass(6_000);
  expect(() => guard.now()).toThrow(refusal);
});
