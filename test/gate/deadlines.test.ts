import { beforeEach, describe, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import { createDeadlines, type Deadlines } from "../../src/gate/deadlines.ts";

// The steward asks twice a second what is due, of ten thousand that are not. Does it ever miss one, or look at all?

const id = (n: number): RequestId => `req_01J${String(n).padStart(23, "0")}`;

let wall: number;
let monotonic: number;
let at: Map<RequestId, number>;
let looked: number;
let deadlines: Deadlines;

beforeEach(() => {
  wall = 1_000_000;
  monotonic = 50;
  looked = 0;
  at = new Map();
  deadlines = createDeadlines({ now: () => wall, monotonic: () => monotonic });
});

const watch = (n: number, inMs: number): void => {
  at.set(id(n), wall + inMs);
  deadlines.watch("consent", id(n), wall + inMs);
};
const due = (): readonly RequestId[] =>
  deadlines.due("consent", (request) => {
    looked += 1;
    return at.get(request);
  });
const pass = (ms: number): void => {
  wall += ms;
  monotonic += ms;
};

describe("what is due", () => {
  test("is found at its time, and before it nothing is looked at", () => {
    for (let n = 1; n <= 100; n += 1) watch(n, n * 1_000);
    pass(999);
    expect(due()).toEqual([]);
    expect(looked).toBe(0);
    pass(1);
    expect(due()).toEqual([id(1)]);
  });

  test("is due again until it is forgotten: ending it may have come to nothing", () => {
    watch(1, 1_000);
    watch(2, 5_000);
    pass(1_000);
    expect(due()).toEqual([id(1)]);
    expect(due()).toEqual([id(1)]);
    deadlines.forget("consent", id(1));
    expect(due()).toEqual([]);
    const before = looked;
    expect(due()).toEqual([]);
    expect(looked).toBe(before);
    pass(4_000);
    expect(due()).toEqual([id(2)]);
  });

  test("comes by the monotonic clock where the wall clock is set back", () => {
    watch(1, 1_000);
    wall -= 3_600_000;
    monotonic += 1_000;
    expect(due()).toEqual([id(1)]);
  });

  test("comes by the wall clock where the monotonic one stood still, as in a suspended machine", () => {
    watch(1, 1_000);
    wall += 3_600_000;
    expect(due()).toEqual([id(1)]);
  });

  test("does not wait behind one without a deadline any more", () => {
    watch(1, 1_000);
    watch(2, 2_000);
    at.delete(id(1));
    pass(1_000);
    expect(due()).toEqual([]);
    looked = 0;
    pass(999);
    expect(due()).toEqual([]);
    expect(looked).toBe(0);
    pass(1);
    expect(due()).toEqual([id(2)]);
  });

  test("of one kind says nothing of the other", () => {
    deadlines.watch("grant", id(1), wall + 10);
    watch(1, 1_000);
    pass(10);
    expect(due()).toEqual([]);
    expect(deadlines.due("grant", () => wall)).toEqual([id(1)]);
    expect(deadlines.isPast("consent", id(1), at.get(id(1)) as number)).toBe(false);
  });

  test("one that was watched late and is the earliest is found", () => {
    watch(1, 5_000);
    pass(1_000);
    due();
    watch(2, 10);
    pass(10);
    expect(due()).toEqual([id(2)]);
  });
});
