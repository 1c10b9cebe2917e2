import fc from "fast-check";
import { expect, test } from "vitest";
import { jsonInTurns } from "../../src/store/embedded/json-in-turns.ts";

const text = async (value: unknown): Promise<string> =>
  Buffer.concat(await jsonInTurns(value)).toString("utf8");

test("gives the bytes that JSON.stringify gives", async () => {
  await fc.assert(
    fc.asyncProperty(fc.jsonValue({ maxDepth: 6, noUnicodeString: false }), async (value) => {
      expect(await text(value)).toBe(JSON.stringify(value));
    }),
    { numRuns: 300 },
  );
});

test.each([
  ["a long list", Array.from({ length: 1_000 }, (_, i) => ({ i, text: "é".repeat(i % 7) }))],
  ["long lists in members", { a: { b: { c: Array.from({ length: 300 }, (_, i) => [i]) } }, d: [] }],
  ["members that are left out", { a: undefined, b: 1, c: undefined }],
  ["nothing but members that are left out", { a: undefined }],
  ["what becomes text by itself", { at: new Date(0), list: [{ toJSON: () => "text" }] }],
  ["holes and undefined in a list", [undefined, 1, null]],
])("the same of %s", async (_, value) => {
  expect(await text(value)).toBe(JSON.stringify(value));
});

test("lets others have their turn while it works", async () => {
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 0);
  const value = { list: Array.from({ length: 40_000 }, (_, i) => ({ i, text: "x".repeat(100) })) };
  const pieces = await jsonInTurns(value);
  clearInterval(timer);
  expect(pieces.length).toBeGreaterThan(20);
  expect(turns).toBeGreaterThan(2);
});
