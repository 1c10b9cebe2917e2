import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { formatSourceError } from "../../src/base/yaml.ts";
import { policyJsonSchema, policyJsonSchemaText } from "../../src/policy/json-schema.ts";
import { runPolicyTests } from "../../src/policy/suite.ts";
import { DEPLOY_SERVICE, load } from "../support/policy.ts";

const file = (path: string): Promise<string> => readFile(new URL(`../../${path}`, import.meta.url), "utf8");

test("the schema for editors is the schema of the loader (npx tsx scripts/policy-schema.ts)", async () => {
  expect(await file("schema/policy.schema.json")).toBe(policyJsonSchemaText());
});

test("the schema for editors takes the sample policy and refuses a misspelt key", async () => {
  const schema = z.fromJSONSchema(policyJsonSchema());
  const sample: unknown = parse(await file("policy.yaml"));
  expect(schema.safeParse(sample).success).toBe(true);
  expect(schema.safeParse({ ...(sample as object), rulez: [] }).success).toBe(false);
});

test("the sample policy loads without a warning and passes its own tests", async () => {
  const policy = load(await file("policy.yaml"), [DEPLOY_SERVICE]);
  expect(policy.warnings.map(formatSourceError)).toEqual([]);
  const report = runPolicyTests(policy, [DEPLOY_SERVICE]);
  expect(report.tests.flatMap(({ it, differences }) => differences.map((one) => `${it}: ${one}`))).toEqual(
    [],
  );
  expect(report.passed).toBeGreaterThanOrEqual(6);
});
