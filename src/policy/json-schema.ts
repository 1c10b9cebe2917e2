import * as z from "zod";
import { policySchema } from "./schema.ts";

/** The JSON Schema of policy.yaml, for editors: what schema/policy.schema.json holds. */
export function policyJsonSchema(): Readonly<Record<string, unknown>> {
  const { $schema, ...schema } = z.toJSONSchema(policySchema, { io: "input", target: "draft-7" });
  return {
    $schema,
    title: "countersign policy.yaml",
    description: "Who may run what, and who is asked first. See docs/policy.md.",
    ...schema,
  };
}

/** The bytes of schema/policy.schema.json. */
export const policyJsonSchemaText = (): string => `${JSON.stringify(policyJsonSchema(), null, 2)}\n`;
