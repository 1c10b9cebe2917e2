import { expect, test } from "vitest";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { createArgumentCheck, schemaProblem } from "../../src/upstream/arguments.ts";

// Can a schema that a stranger wrote do harm: fetch, hang, or let arguments through that it does not describe?

const schema = (more: object): JsonObject => ({ type: "object", ...more }) as JsonObject;
const issues = (given: JsonObject, input: object): readonly string[] =>
  createArgumentCheck(given)(input as JsonObject).map(({ path, message }) => `${path} ${message}`);

test("arguments that fit pass as they are, and no default is added (A2)", () => {
  const given = schema({ properties: { path: { type: "string" }, mode: { type: "string", default: "x" } } });
  const input = { path: "/a" };
  expect(createArgumentCheck(given)(input)).toEqual([]);
  expect(input).toEqual({ path: "/a" });
});

test("what does not fit is named by its place", () => {
  const given = schema({
    properties: { edits: { type: "array", items: { type: "object", required: ["to"] } } },
    required: ["edits"],
    additionalProperties: false,
  });
  expect(issues(given, {})).toEqual([expect.stringMatching(/^\/ .*edits/)]);
  expect(issues(given, { edits: [{}] })).toEqual([expect.stringMatching(/^\/edits\/0 .*to/)]);
  expect(issues(given, { edits: [], more: 1 })).not.toEqual([]);
});

test.each([
  [
    "of the older drafts",
    { $schema: "http://json-schema.org/draft-07/schema#", properties: { n: { type: "integer" } } },
  ],
  [
    "with references of its own",
    { $defs: { n: { type: "integer" } }, properties: { n: { $ref: "#/$defs/n" } } },
  ],
  ["that refers to itself", { properties: { n: { type: "integer" }, in: { $ref: "#" } } }],
])("a schema %s is followed", (_, more) => {
  expect(issues(schema(more), { n: 1 })).toEqual([]);
  expect(issues(schema(more), { n: "1" })).not.toEqual([]);
});

test("a reference that leaves the document makes the tool unusable, and nothing is fetched (A1)", () => {
  for (const $ref of ["https://evil.example/schema.json", "file:///etc/passwd", "#/$defs/none"]) {
    expect(schemaProblem(schema({ properties: { a: { $ref } } }))).toMatch(/leads out of the schema/);
  }
});

test.each([
  ["no object", 7, /no object/],
  ["another type", { type: "string" }, /type is not "object"/],
  ["properties that are a list", { type: "object", properties: [] }, /properties/],
  ["a required that is a word", { type: "object", required: "path" }, /required/],
  ["an endless reference", { type: "object", allOf: [{ $ref: "#" }] }, /too many steps/],
  ["a doubling bomb", bomb(), /too many steps/],
])("a schema with %s is refused with its reason", (_, given, why) => {
  expect(schemaProblem(given as JsonObject)).toMatch(why);
});

test("a bomb that only goes off with the right arguments ends in a refusal, not in a hang", () => {
  const given = schema({
    properties: { a: { allOf: [{ $ref: "#" }, { $ref: "#" }, { $ref: "#" }, { $ref: "#" }] } },
  });
  let input: JsonObject = {};
  for (let i = 0; i < 40; i += 1) input = { a: input };
  expect(issues(given, input)).toEqual([expect.stringMatching(/too many steps/)]);
});

test("a pattern is left to the server: it can neither hang us nor refuse what it does not describe (A3)", () => {
  const given = schema({
    properties: { a: { type: "string", pattern: "^(a+)+$" }, pattern: { type: "string" } },
    patternProperties: { "^x-": { type: "string" } },
    additionalProperties: false,
  });
  expect(issues(given, { a: `${"a".repeat(60)}!`, pattern: "p", "x-1": "y" })).toEqual([]);
  expect(issues(given, { pattern: 1 })).not.toEqual([]);
});

function bomb(): object {
  const $defs: Record<string, object> = { d40: { type: "object" } };
  for (let i = 0; i < 40; i += 1) {
    $defs[`d${i}`] = { allOf: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }] };
  }
  return { type: "object", $defs, $ref: "#/$defs/d0" };
}
