import { describe, expect, test } from "vitest";
import { createHeaderCheck } from "../../../src/transport/mcp/param-headers.ts";

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
