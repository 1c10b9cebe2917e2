import { readFile } from "node:fs/promises";
import { beforeAll, expect, test } from "vitest";
import { formatSourceError } from "../../src/base/yaml.ts";
import { GATE_VARIABLES } from "../../src/policy/cel-shape.ts";
import { loadPolicy } from "../../src/policy/load.ts";
import { policySchema } from "../../src/policy/schema.ts";
import { runPolicyTests } from "../../src/policy/suite.ts";
import { policyText, TOOLS } from "../support/policy.ts";

let page = "";
/** Every yaml block, with the text block that follows it at once, if one does. */
let examples: { readonly yaml: string; readonly says: string | null }[] = [];

beforeAll(async () => {
  page = await readFile(new URL("../../docs/policy.md", import.meta.url), "utf8");
  examples = [...page.matchAll(/^```yaml\n([^]*?)^```\n(?:\n```text\n([^]*?)^```\n)?/gm)].map((found) => ({
    yaml: found[1]!,
    says: found[2] ?? null,
  }));
});

const outcome = (yaml: string): string => {
  // A block that is no whole file is a list of rules.
  const text = yaml.startsWith("- ") ? policyText(yaml) : yaml;
  const loaded = loadPolicy(text, { file: "policy.yaml", tools: TOOLS });
  const lines = loaded.ok ? loaded.value.warnings : loaded.error;
  return lines.map((line) => `${formatSourceError(line)}\n`).join("");
};

test("every policy of docs/policy.md loads, or says exactly what the page says", () => {
  expect(examples.length).toBeGreaterThan(8);
  expect(examples.filter(({ says }) => says !== null).length).toBeGreaterThan(4);
  for (const { yaml, says } of examples) {
    const said = outcome(yaml);
    if (says !== null) expect(said).toBe(says);
    // Where the page shows no message there is no error; a fragment may leave out what a whole file needs.
    else
      expect(said.replaceAll(/^.*no policy_change.*\n|^.*(no tool|allows without).*\n/gm, ""), yaml).toBe("");
  }
});

test("the tests of docs/policy.md pass", () => {
  const [example] = examples.filter(({ yaml }) => /^tests:/m.test(yaml));
  const loaded = loadPolicy(example!.yaml, { file: "policy.yaml", tools: TOOLS });
  if (!loaded.ok) throw new Error("it does not load");
  const report = runPolicyTests(loaded.value, TOOLS);
  expect([report.failed, report.passed]).toEqual([0, 3]);
});

test("docs/policy.md has a row for every key, every variable and every field of a variable", () => {
  for (const key of Object.keys(policySchema.shape))
    expect(page, key).toMatch(new RegExp(`^\\| \`${key}\` `, "m"));
  for (const [name, shape] of Object.entries(GATE_VARIABLES)) {
    const row = new RegExp(`^\\| \`${name}\` .*$`, "m").exec(page)?.[0];
    expect(row, name).toBeDefined();
    if (shape.kind !== "object") continue;
    for (const field of shape.fields.keys()) expect(row, `${name}.${field}`).toContain(`${name}.${field}`);
  }
});
