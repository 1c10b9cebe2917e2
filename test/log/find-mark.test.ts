import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createMarkFinder } from "../../src/log/find-mark.ts";

const MARK = '"unresolved":';

describe("finding a mark in a line", () => {
  it("finds it wherever Buffer.indexOf finds it, near misses and uneven memory included", () => {
    const find = createMarkFinder(Buffer.from(MARK));
    const piece = fc.oneof(
      fc.constant(MARK),
      fc.nat({ max: MARK.length }).map((length) => MARK.slice(0, length)),
      fc.nat({ max: MARK.length }).map((from) => MARK.slice(from)),
      fc.string({ maxLength: 20 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.nat(40), fc.nat(40), (pieces, before, after) => {
        const whole = Buffer.from(pieces.join(""));
        // A view that begins anywhere in its memory, and bounds anywhere in the view.
        const bytes = Buffer.from(
          Uint8Array.from([...Buffer.alloc(before % 4), ...whole]).buffer,
          before % 4,
        );
        const start = Math.min(before, bytes.length);
        const end = Math.max(start, bytes.length - after);
        expect(find(bytes, start, end)).toBe(bytes.subarray(start, end).includes(MARK));
      }),
      { numRuns: 2_000 },
    );
  });

  it("finds it at every place of a line", () => {
    const find = createMarkFinder(Buffer.from(MARK));
    for (let at = 0; at + MARK.length <= 64; at += 1) {
      const line = Buffer.alloc(64, "x");
      line.write(MARK, at);
      expect(find(line, 0, 64), `at ${at}`).toBe(true);
      expect(find(line, at + 1, 64), `after ${at}`).toBe(false);
      expect(find(line, 0, at + MARK.length - 1), `before the end of ${at}`).toBe(false);
    }
  });

  it("refuses a mark that it could miss", () => {
    expect(() => createMarkFinder(Buffer.from("even"))).toThrow(RangeError);
    expect(() => createMarkFinder(Buffer.from("ababa"))).toThrow(RangeError);
  });
});
