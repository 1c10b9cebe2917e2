import fc from "fast-check";
import { expect, test } from "vitest";
import { linesBackwards } from "../../src/log/backwards.ts";

const encoder = new TextEncoder();
/** A store of so many lines whose reader reuses one buffer, as the real one may. */
const storeOf = (size: number, read: number[]) => ({
  async *lines(from: number) {
    const shared = new Uint8Array(16);
    for (let seq = from; seq < size; seq += 1) {
      read.push(seq);
      const bytes = encoder.encode(String(seq));
      shared.set(bytes);
      yield { seq, bytes: shared.subarray(0, bytes.length) };
    }
  },
});

test("gives every line below a place once, newest first, and looks at no more than it may", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(5_000), fc.nat(6_000), fc.nat(5_000), async (size, before, most) => {
      const read: number[] = [];
      const seen: string[] = [];
      const from = Math.min(before, size);
      for await (const { seq, bytes } of linesBackwards(storeOf(size, read), from, most)) {
        expect(new TextDecoder().decode(bytes)).toBe(String(seq));
        seen.push(String(seq));
      }
      const count = Math.min(from, most);
      expect(seen).toEqual(Array.from({ length: count }, (_, i) => String(from - 1 - i)));
      // One line more a window: that is how its end is seen.
      expect(read.length).toBeLessThanOrEqual(count + 16);
    }),
    { numRuns: 60 },
  );
});

test("a page near the end reads little, however long the log is", async () => {
  const read: number[] = [];
  let taken = 0;
  for await (const _line of linesBackwards(storeOf(100_000, read), 100_000, 20_000)) {
    taken += 1;
    if (taken === 50) break;
  }
  expect(read.length).toBeLessThan(70);
});
