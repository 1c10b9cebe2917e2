import fc from "fast-check";
import { expect, test } from "vitest";
import { jsonCopy } from "../../src/base/json-copy.ts";

const throughText = (value: object): unknown => JSON.parse(JSON.stringify(value)) as unknown;

test("a copy is what JSON text would give back, whatever the value", () => {
  const anything = fc.oneof(
    fc.object({
      key: fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("__proto__", "toJSON", "length", "0")),
      withNullPrototype: true,
      withDate: true,
      withSparseArray: true,
      withMap: true,
      withSet: true,
      withTypedArray: true,
    }),
    fc.jsonValue().map((value) => ({ value })),
  );
  fc.assert(
    fc.property(anything, (value) => {
      expect(jsonCopy(value)).toStrictEqual(throughText(value));
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  ["numbers that JSON does not know", { a: Number.NaN, b: -0, c: [Infinity] }],
  ["holes and missing values in a list", { a: [undefined, 1], b: Array(2) }],
  ["missing members", { a: undefined, b: { c: undefined } }],
  ["a value that says itself what it is", { a: { toJSON: () => ["b"] } }],
  [
    "dates, maps and classes",
    {
      a: new Date(0),
      b: new Map([[1, 2]]),
      c: new (class A {
        x = 1;
      })(),
    },
  ],
  ["lone surrogates", { a: "\ud800", "\udc00": 1 }],
  ["a member named __proto__", JSON.parse('{"__proto__":{"a":1},"b":2}') as object],
])("%s", (_, value) => {
  expect(jsonCopy(value)).toStrictEqual(throughText(value));
});

test("what is refused as text is refused here", () => {
  expect(() => jsonCopy({ a: 1n })).toThrow(TypeError);
  const loop: Record<string, unknown> = {};
  loop["loop"] = loop;
  expect(() => jsonCopy(loop)).toThrow();
});

test("the copy shares nothing that can change", () => {
  const value = { list: [{ a: 1 }], inner: { b: "c" } };
  const copy = jsonCopy(value);
  value.list[0] = { a: 2 };
  value.inner.b = "d";
  expect(copy).toEqual({ list: [{ a: 1 }], inner: { b: "c" } });
});
