import { describe, expect, test } from "vitest";
import { readLog, type LogQuery } from "../../src/console/read-log.ts";

// A log of so many entries, each read counted.
function logOf(size: number): { store: Parameters<typeof readLog>[0]; read: () => number } {
  let read = 0;
  return {
    read: () => read,
    store: {
      head: () => ({ size, root: `sha256:${"0".repeat(64)}`, newestTime: 0 }),
      async *lines(fromSeq) {
        for (let seq = fromSeq; seq < size; seq += 1) {
          read += 1;
          const entry = {
            ...{ v: 1, seq, time: "2026-11-22T00:00:00.000Z", policy: null },
            ...(seq % 100 === 0
              ? {
                  kind: "policy.proposed",
                  subject: "policy",
                  data: { content: "", revision: null, errors: ["x"] },
                }
              : {
                  kind: "throttled",
                  subject: "log",
                  data: { principal: "ana", agent: "claude", count: seq, limit: "" },
                }),
          };
          yield { seq, bytes: new TextEncoder().encode(JSON.stringify(entry)) };
        }
      },
    },
  };
}
const all: LogQuery = { before: null, group: null, subject: null, words: null };

describe("reading the log for a page", () => {
  test("gives the newest first, fifty a page, and each entry once over all pages", async () => {
    const { store } = logOf(1_234);
    const seen: number[] = [];
    for (let before: number | null = null; ;) {
      const page = await readLog(store, { ...all, before });
      expect(page.entries.length).toBeLessThanOrEqual(50);
      seen.push(...page.entries.map(({ seq }) => seq));
      if (page.next === null) break;
      before = page.next;
    }
    expect(seen).toEqual(Array.from({ length: 1_234 }, (_, i) => 1_233 - i));
  });

  test("finds all that fits a filter, whatever lies between", async () => {
    const { store } = logOf(12_345);
    const seen: number[] = [];
    for (let before: number | null = null; ;) {
      const page = await readLog(store, { ...all, group: "policy", before });
      seen.push(...page.entries.map(({ seq }) => seq));
      if (page.next === null) break;
      before = page.next;
    }
    expect(seen).toEqual(Array.from({ length: 124 }, (_, i) => 12_300 - i * 100));
  });

  test("looks at no more than a few thousand entries a page, however long the log is", async () => {
    const { store, read } = logOf(100_000);
    const page = await readLog(store, { ...all, words: "nothing says this" });
    expect(page.entries).toEqual([]);
    expect(page.next).toBe(95_000);
    // Windows overlap with nothing: what is read is what is looked at, and one line to see the end of each window.
    expect(read()).toBeLessThanOrEqual(5_000 + 10);
  });
});
