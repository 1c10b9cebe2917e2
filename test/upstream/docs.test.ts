import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseYaml } from "../../src/base/yaml.ts";
import { upstreamsSchema } from "../../src/upstream/registration.ts";

// Does what docs/upstream.md tells people to write load?

const root = join(import.meta.dirname, "../..");

test("every registration in the guide is one", async () => {
  const text = await readFile(join(root, "docs/upstream.md"), "utf8");
  const blocks = [...text.matchAll(/```yaml\n(upstreams:\n[^`]+)```/g)].map((match) => match[1] ?? "");
  expect(blocks).toHaveLength(2);
  for (const block of blocks) {
    const yaml = parseYaml(block, "docs/upstream.md");
    if (!yaml.ok) throw new Error(JSON.stringify(yaml.error));
    const { upstreams } = yaml.value.value as { readonly upstreams: unknown };
    expect(upstreamsSchema.safeParse(upstreams).error).toBeUndefined();
  }
});

test.each([
  ["neither command nor url", {}],
  ["both", { command: ["a"], url: "https://x.example/mcp" }],
  ["plain http elsewhere", { url: "http://x.example/mcp" }],
  ["a password in the url", { url: "https://a:b@x.example/mcp" }],
  ["a literal secret", { command: ["a"], env: { API_TOKEN: "abc" } }],
  ["a literal secret header", { url: "https://x.example/mcp", headers: { Authorization: "Bearer x" } }],
  ["headers for a command", { command: ["a"], headers: { x: "y" } }],
  ["a key nobody knows", { command: ["a"], vuoch: true }],
  ["an effect there is not", { command: ["a"], tools: { t: { effect: "harmless" } } }],
])("an entry with %s is refused", (_, entry) => {
  expect(upstreamsSchema.safeParse({ files: { environment: "prod", ...entry } }).success).toBe(false);
});

test.each(["Files", "a_b", "a__b", "1a", ""])("the alias %j is refused", (alias) => {
  expect(upstreamsSchema.safeParse({ [alias]: { command: ["a"], environment: "prod" } }).success).toBe(false);
});
