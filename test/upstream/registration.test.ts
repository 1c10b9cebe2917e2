import { expect, test } from "vitest";
import { canonicalJson } from "../../src/base/canonical-json.ts";
import { digestJson } from "../../src/base/digest.ts";
import { makeUpstreamTools } from "../../src/upstream/make-tools.ts";
import { upstreamsSchema } from "../../src/upstream/registration.ts";
import type { Tool } from "../../src/tool.ts";

// What a request of a fronted tool names as its registration, and is stale without.

const pinOf = (tool: string) => {
  const definition = {
    name: tool,
    inputSchema: { type: "object", properties: { dry: { type: "boolean" } } },
  };
  return { upstream: "up", tool, digest: digestJson("tool", definition), definition };
};

function registrations(changed: object): Record<string, string> {
  const upstreams = upstreamsSchema.parse({
    up: {
      ...{ url: "http://127.0.0.1:1/mcp", environment: "lab" },
      ...{
        tools: {
          look: { effect: "read" },
          change: { effect: "write", before: { tool: "look", args: {} } },
          other: { effect: "write" },
        },
      },
      ...changed,
    },
  });
  const { tools } = makeUpstreamTools(
    {
      upstreams: upstreams as never,
      pins: Object.fromEntries(
        ["look", "change", "other"].map((tool) => [`up__${tool}`, pinOf(tool)]),
      ) as never,
    },
    () => Promise.reject(new Error("nobody is called")),
  );
  return Object.fromEntries(
    tools.map((tool: Tool) => [tool.name.slice("up__".length), canonicalJson(tool.registration({}))]),
  );
}

const tools = (other: object) => ({
  tools: {
    look: { effect: "read" },
    change: { effect: "write", before: { tool: "look", args: {} } },
    other: { effect: "write" },
    ...other,
  },
});

test("another tool's entry may change without it", () => {
  const before = registrations({});
  const after = registrations(tools({ other: { effect: "destructive" } }));
  expect(after["look"]).toBe(before["look"]);
  expect(after["change"]).toBe(before["change"]);
  expect(after["other"]).not.toBe(before["other"]);
});

test("its own entry, and that of the tool that looks before it, may not", () => {
  const before = registrations({});
  const after = registrations(tools({ look: { effect: "read", timeout: "5s" } }));
  expect(after["look"]).not.toBe(before["look"]);
  expect(after["change"]).not.toBe(before["change"]);
  expect(after["other"]).toBe(before["other"]);
});

test("nor may where the server is, or what it is given", () => {
  const before = registrations({});
  for (const changed of [{ url: "http://127.0.0.1:2/mcp" }, { environment: "production" }, { vouch: true }]) {
    const after = registrations(changed);
    for (const name of ["look", "change", "other"]) expect(after[name]).not.toBe(before[name]);
  }
});
