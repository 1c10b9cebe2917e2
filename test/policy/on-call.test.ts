import fc from "fast-check";
import { expect, test } from "vitest";
import { onCallAt, onCallBetween, turnEndsAt, type Rotation } from "../../src/policy/on-call.ts";

const START = Date.parse("2026-01-05T09:00:00Z");
const DAY = 86_400_000;
const week: Rotation = { people: ["ana", "ben", "chi"], everyMs: 7 * DAY, startsAt: START };
const everybody = (): boolean => true;

test("turns follow the list, from the first moment on, round and round", () => {
  const at = (days: number): string | null => onCallAt(week, START + days * DAY, everybody);
  expect([at(0), at(6.9), at(7), at(14), at(21), at(700)]).toEqual([
    "ana",
    "ana",
    "ben",
    "chi",
    "ana",
    "ben",
  ]);
  expect(onCallAt(week, START - 1, everybody)).toBe("ana");
  expect(onCallAt(week, START + 7 * DAY - 1, everybody)).toBe("ana");
});

test("the turn of somebody disabled falls to the next, and of nobody to nobody", () => {
  expect(onCallAt(week, START + 7 * DAY, (person) => person !== "ben")).toBe("chi");
  expect(onCallAt(week, START + 14 * DAY, (person) => person !== "chi")).toBe("ana");
  expect(onCallAt(week, START, () => false)).toBeNull();
});

const rotation = fc.record({
  people: fc.uniqueArray(fc.constantFrom("a", "b", "c", "d", "e"), { minLength: 1 }),
  everyMs: fc.integer({ min: 60_000, max: 366 * DAY }),
  startsAt: fc.integer({ min: 0, max: START }),
});

test("within a turn it is one person, and exactly those of a span are on call in it", () => {
  fc.assert(
    fc.property(
      rotation,
      fc.integer({ min: 0, max: 2 * START }),
      fc.integer({ min: 0, max: 30 * DAY }),
      fc.subarray(["a", "b", "c", "d", "e"]),
      (turns, from, span, enabled) => {
        const isEnabled = (person: string): boolean => enabled.includes(person);
        const end = turnEndsAt(turns, from);
        expect(end).toBeGreaterThan(from);
        expect(onCallAt(turns, end - 1, isEnabled)).toBe(onCallAt(turns, from, isEnabled));
        const between = onCallBetween(turns, from, from + span, isEnabled);
        for (let i = 0; i <= 20; i += 1) {
          const person = onCallAt(turns, from + Math.floor((span * i) / 20), isEnabled);
          if (person !== null) expect(between.has(person)).toBe(true);
        }
        for (const person of between) expect(isEnabled(person)).toBe(true);
      },
    ),
  );
});
