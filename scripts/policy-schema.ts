// Writes schema/policy.schema.json from the zod schema in src/policy/schema.ts: `npx tsx scripts/policy-schema.ts`.
// test/policy/schema.test.ts fails where the file is not current.
import { mkdir, writeFile } from "node:fs/promises";
import { policyJsonSchemaText } from "../src/policy/json-schema.ts";

await mkdir(new URL("../schema/", import.meta.url), { recursive: true });
await writeFile(new URL("../schema/policy.schema.json", import.meta.url), policyJsonSchemaText());
