import { describe, expect, test } from "vitest";
import { createHeaderCheck, headerProblem, paramHeaders } from "../../src/request/param-headers.ts";

const SCHEMA = {
  type: "object",
  properties: {
    region: { type: "string", "x-mcp-header": "Region" },
    count: { type: "integer", "x-mcp-header": "Count" },
    deep: {
      type: "object",
      properties: { dry: { type: "boolean", "x-mcp-header": "Dry" } },
    },
    free: { type: "string" },
  },
};

const check = (args: unknown, headers: Record<string, string>, schema: unknown = SCHEMA): string | null =>
  createHeaderCheck()(schema, args, (name) => headers[name]);

describe("what agrees", () => {
  test.each([
    ["nothing repeated", { free: "x" }, {}],
    ["a string", { region: "eu" }, { "mcp-param-region": "eu" }],
    ["a string in Base64", { region: "Grüße" }, { "mcp-param-region": "=?base64?R3LDvMOfZQ==?=" }],
    ["half a wrapping is the value itself", { region: "=?base64?x" }, { "mcp-param-region": "=?base64?x" }],
    ["numbers by value", { count: 42 }, { "mcp-param-count": "42.0" }],
    ["an argument further down", { deep: { dry: true } }, { "mcp-param-dry": "true" }],
    ["no value, and a header that nobody asked for", { region: null }, { "mcp-param-region": "eu" }],
    ["arguments that are no object", "text", {}],
  ])("%s", (_, args, headers) => {
    expect(check(args, headers as Record<string, string>)).toBeNull();
  });

  test("a declaration outside `properties` binds nobody", () => {
    const schema = {
      type: "object",
      properties: { list: { type: "array", items: { type: "string", "x-mcp-header": "Item" } } },
      $defs: { region: { type: "string", "x-mcp-header": "Region" } },
    };
    expect(check({ list: ["a"], region: "eu" }, {}, schema)).toBeNull();
  });

  test("a header name that is no token binds nobody", () => {
    const schema = { properties: { region: { type: "string", "x-mcp-header": "a b" } } };
    expect(check({ region: "eu" }, {}, schema)).toBeNull();
  });
});

describe("what does not", () => {
  test.each([
    ["no header", { region: "eu" }, {}, "must repeat"],
    ["another value", { region: "eu" }, { "mcp-param-region": "us" }, "differ"],
    ["another case", { region: "eu" }, { "mcp-param-region": "EU" }, "differ"],
    ["another number", { count: 42 }, { "mcp-param-count": "43" }, "differ"],
    ["a number that is no decimal", { count: 16 }, { "mcp-param-count": "0x10" }, "differ"],
    ["padding left out", { region: "Hello" }, { "mcp-param-region": "=?base64?SGVsbG8?=" }, "Base64"],
    ["foreign characters", { region: "Hello" }, { "mcp-param-region": "=?base64?SGVs!!!bG8=?=" }, "Base64"],
    ["bytes that are no UTF-8", { region: "x" }, { "mcp-param-region": "=?base64?/w==?=" }, "Base64"],
  ])("%s", (_, args, headers, words) => {
    expect(check(args, headers as Record<string, string>)).toContain(words);
  });
});

describe("headers of a call that we make", () => {
  test.each([
    ["us-west1", "us-west1"],
    ["", ""],
    ["us west 1", "us west 1"],
    ["Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="],
    [" padded ", "=?base64?IHBhZGRlZCA=?="],
    ["line1\nline2", "=?base64?bGluZTEKbGluZTI=?="],
    ["=?base64?eA==?=", "=?base64?PT9iYXNlNjQ/ZUE9PT89?="],
  ])("carry %j", (region, header) => {
    expect(paramHeaders(SCHEMA, { region })).toEqual({ "Mcp-Param-Region": header });
  });

  test("repeat every declared argument that has a value, and no other; a server of ours takes them", () => {
    const args = { region: "Grüße\r\n", count: 42, deep: { dry: false }, free: "x" };
    const headers = paramHeaders(SCHEMA, args);
    expect(Object.keys(headers)).toEqual(["Mcp-Param-Region", "Mcp-Param-Count", "Mcp-Param-Dry"]);
    const lower = Object.fromEntries(
      Object.entries(headers).map(([key, value]) => [key.toLowerCase(), value]),
    );
    expect(check(args, lower)).toBeNull();
    expect(paramHeaders(SCHEMA, { region: null })).toEqual({});
    expect(paramHeaders(SCHEMA, [])).toEqual({});
  });
});

describe("a definition that declares headers", () => {
  const property = (schema: object): object => ({ type: "object", properties: { a: schema } });

  test("is sound with names of its own on plain arguments", () => {
    expect(headerProblem(SCHEMA)).toBeNull();
    expect(headerProblem({ type: "object" })).toBeNull();
    expect(headerProblem(property({ type: "string", default: { "x-mcp-header": "" } }))).toBeNull();
  });

  test.each([
    ["an empty name", property({ type: "string", "x-mcp-header": "" })],
    ["a name with a space", property({ type: "string", "x-mcp-header": "My Region" })],
    ["a line break in the name", property({ type: "string", "x-mcp-header": "A\r\nX-Evil: 1" })],
    ["a name that is no string", property({ type: "string", "x-mcp-header": 1 })],
    ["an object", property({ type: "object", "x-mcp-header": "A" })],
    ["a number", property({ type: "number", "x-mcp-header": "A" })],
    ["an item of a list", property({ type: "array", items: { type: "string", "x-mcp-header": "A" } })],
    [
      "a part of a choice",
      { type: "object", anyOf: [{ properties: { a: { type: "string", "x-mcp-header": "A" } } }] },
    ],
    [
      "the same name twice, but for its case",
      {
        type: "object",
        properties: {
          a: { type: "string", "x-mcp-header": "A" },
          b: { type: "string", "x-mcp-header": "a" },
        },
      },
    ],
  ])("can't be used with %s", (_, schema) => {
    expect(headerProblem(schema)).toMatch(/^x-mcp-header of /);
  });
});
