import { expect, test } from "vitest";
import * as z from "zod";
import { later } from "../../src/base/later.ts";

const counted = () => {
  let made = 0;
  const schema = later(() => {
    made += 1;
    return z.strictObject({ name: z.string().describe("who"), age: z.number().default(3) });
  });
  return { schema, made: () => made };
};

test("a schema is not made where it is named, and once where it is used", () => {
  const { schema, made } = counted();
  const whole = z.strictObject({ list: z.array(schema).optional() });
  expect(made()).toBe(0);
  expect(whole.parse({})).toEqual({});
  expect(whole.parse({ list: [{ name: "a" }, { name: "b", age: 1 }] })).toEqual({
    list: [
      { name: "a", age: 3 },
      { name: "b", age: 1 },
    ],
  });
  expect(schema.parse({ name: "c" })).toEqual({ name: "c", age: 3 });
  expect(made()).toBe(1);
});

test("what it reads and refuses is what the schema itself does, wherever it stands", () => {
  const { schema } = counted();
  const plain = z.strictObject({ name: z.string().describe("who"), age: z.number().default(3) });
  const uses = (one: typeof plain) => [
    one,
    one.optional(),
    one.extend({ more: z.boolean() }),
    z.record(z.string(), one),
    z.union([z.string(), one]),
    z.strictObject({ ...one.shape, inner: one.nullable() }),
    z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("a"), one }),
      one.extend({ kind: z.literal("b") }),
    ]),
  ];
  const values = [
    undefined,
    "text",
    {},
    { name: "a" },
    { name: "a", nmae: "b" },
    { k: { name: "a" } },
    { k: { name: 1 } },
    { name: "a", inner: null },
    { name: "a", inner: { age: "old" } },
    { kind: "a", one: { name: "a", age: 1 } },
    { kind: "b", name: 7 },
    { kind: "c" },
  ];
  const plains = uses(plain);
  for (const [i, made] of uses(schema).entries()) {
    for (const value of values) {
      const [ours, theirs] = [made.safeParse(value), plains[i]!.safeParse(value)];
      expect(ours.data, JSON.stringify([i, value])).toEqual(theirs.data);
      expect(ours.error?.issues, JSON.stringify([i, value])).toEqual(theirs.error?.issues);
    }
    expect(z.toJSONSchema(made)).toEqual(z.toJSONSchema(plains[i]!));
  }
  expect(schema).toBeInstanceOf(z.ZodObject);
});
