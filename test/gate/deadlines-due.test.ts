import fc from "fast-check";
import { expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import { createDeadlines } from "../../src/gate/deadlines.ts";

// Deadlines are looked at when the earliest has come. Is one ever missed that a look at each would find, whatever the
// clocks do?

type Step =
  | { readonly do: "watch"; readonly id: number; readonly inMs: number }
  | { readonly do: "settle" | "forget"; readonly id: number }
  | { readonly do: "pass"; readonly wall: number; readonly monotonic: number }
  | { readonly do: "due" };

const id = fc.nat(5);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("watch" as const), id, inMs: fc.integer({ min: -50, max: 200 }) }),
  fc.record({ do: fc.constantFrom("settle" as const, "forget" as const), id }),
  // The wall clock may be set back or far ahead; the other only goes on.
  fc.record({
    do: fc.constant("pass" as const),
    wall: fc.integer({ min: -300, max: 300 }),
    monotonic: fc.nat(100),
  }),
  fc.constant({ do: "due" as const }),
);

test("what is due is what a look at each would find, however the clocks move", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let wall = 1_000_000;
      let monotonic = 0;
      const deadlines = createDeadlines({ now: () => wall, monotonic: () => monotonic });
      const at = new Map<RequestId, number>();
      const open = new Set<RequestId>();
      for (const one of steps) {
        if (one.do === "pass") {
          wall += one.wall;
          monotonic += one.monotonic;
        } else if (one.do === "due") {
          const due = deadlines.due("consent", (request) =>
            open.has(request) ? at.get(request) : undefined,
          );
          const each = [...open].filter((request) =>
            deadlines.isPast("consent", request, at.get(request) as number),
          );
          expect([...due].sort()).toEqual(each.sort());
        } else {
          const request = `req_${one.id}` as RequestId;
          if (one.do === "watch" && !at.has(request)) {
            at.set(request, wall + one.inMs);
            open.add(request);
            deadlines.watch("consent", request, wall + one.inMs);
          } else if (one.do === "settle") open.delete(request);
          else if (one.do === "forget") {
            open.delete(request);
            at.delete(request);
            deadlines.forget("consent", request);
          }
        }
      }
    }),
    { numRuns: 3_000 },
  );
});
