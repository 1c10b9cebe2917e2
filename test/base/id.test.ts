import { describe, expect, test } from "vitest";
import { idTime, isId, newId } from "../../src/base/id.ts";

describe("ids", () => {
  test("an id has its prefix and form, and carries the time it was made at", () => {
    const at = Date.parse("2026-11-21T10:00:00.123Z");
    for (let i = 0; i < 100; i += 1) {
      const id = newId("req", at);
      expect(isId("req", id)).toBe(true);
      expect(idTime(id)).toBe(at);
    }
    expect(isId("grt", newId("req", at))).toBe(false);
  });

  test("ids of one millisecond are all different, and every random character takes every value", () => {
    const ids = Array.from({ length: 2_000 }, () => newId("req", 1_763_720_000_000));
    expect(new Set(ids).size).toBe(ids.length);
    for (let place = "req_".length + 10; place < "req_".length + 26; place += 1) {
      const seen = new Map<string, number>();
      for (const id of ids) seen.set(id[place] as string, (seen.get(id[place] as string) ?? 0) + 1);
      // 62.5 expected each: a uniform source practically never leaves this range.
      expect(seen.size).toBe(32);
      for (const count of seen.values()) expect(count).toBeGreaterThan(10);
    }
  });

  test("ids sort by the time they were made at", () => {
    const ids = [5, 1, 9, 3].map((ms) => newId("log", 1_763_720_000_000 + ms));
    expect([...ids].sort().map(idTime)).toEqual([1, 3, 5, 9].map((ms) => 1_763_720_000_000 + ms));
  });
});
