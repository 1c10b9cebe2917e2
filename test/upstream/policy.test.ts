import { expect, test } from "vitest";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { formatSourceError } from "../../src/base/yaml.ts";
import { loadPolicy } from "../../src/policy/load.ts";

// A condition is checked against the schema that was accepted. That schema is a stranger's: can it break the loading?

const load = (inputSchema: JsonObject, when: string): readonly string[] => {
  const text = `version: 1
people: { ana: { name: Ana }, ben: { name: Ben, ssh: ["SHA256:iA0GtnLLCyNQUlD/Qk8zmcWUAPVoJHxnlyo3qRwJ2yU"] } }
groups: { sre: [ben] }
agents: { claude: { owners: [ana] } }
defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 30m } }
policy_change: { by: [sre], quorum: 1, assurance: A2 }
rules:
  - id: one
    match: { tool: files__write_file }
    when: ${JSON.stringify(when)}
    verdict: hold
`;
  const loaded = loadPolicy(text, {
    file: "policy.yaml",
    tools: [{ name: "files__write_file", inputSchema, fixedEffect: "destructive" }],
  });
  return loaded.ok ? [] : loaded.error.map(formatSourceError);
};
const schema = (properties: object, more: object = {}): JsonObject =>
  ({ type: "object", properties, ...more }) as JsonObject;

test("a condition over an accepted tool is checked against its accepted schema", () => {
  const given = schema({ path: { type: "string" } }, { required: ["path"] });
  expect(load(given, 'args.path.startsWith("/etc/")')).toEqual([]);
  expect(load(given, 'args.pth.startsWith("/etc/")').join()).toMatch(/pth/);
  expect(load(given, "args.path > 3").join()).toMatch(/policy\.yaml:10/);
});

test.each([
  ["odd names", schema({ "a-b": { type: "string" }, "": {}, "1": {}, "a b": {}, ok: { type: "string" } })],
  [
    "names of what objects have anyway",
    schema({ constructor: {}, toString: {}, hasOwnProperty: {}, ok: { type: "string" } }),
  ],
  [
    "words of the condition language",
    schema({ in: {}, true: {}, null: {}, has: {}, size: {}, ok: { type: "string" } }),
  ],
  [
    "many properties",
    schema(
      Object.fromEntries(
        Array.from({ length: 2_000 }, (_, i) => [`p${i}`, { type: "object", properties: { q: {} } }]),
      ),
      {},
    ),
  ],
  [
    "schemas that are no schemas",
    schema({ a: 7, b: null, c: [], d: true, e: { type: ["string", "null"] }, f: { enum: 3 } }),
  ],
  ["a required that is none", schema({ ok: { type: "string" } }, { required: 7 })],
])("a schema with %s does not break a policy that loads", (_, given) => {
  const all = {
    ...given,
    properties: { ...(given["properties"] as object), ok: { type: "string" } },
  } as JsonObject;
  expect(load(all, 'has(args.ok) && args.ok == "x"')).toEqual([]);
});
