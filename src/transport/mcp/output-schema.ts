import type { Json } from "../../base/canonical-json.ts";
import { ANSWER_TOOL } from "./names.ts";

type JsonSchema = Readonly<Record<string, Json>>;

/**
 * The result schema of every tool: a pending or refused reply validates, and so does the tool's own output. `output`
 * is null where a result of the tool itself has another schema beside this one. No type here is nullable: what has no
 * value is left out.
 */
export function widenedOutputSchema(tool: string, output: JsonSchema | null): JsonSchema {
  return {
    type: "object",
    description:
      "status says what happened: done (result holds the output), pending (not done; wait on the ticket), " +
      "refused, failed (nothing changed), unknown (it may have taken effect).",
    properties: {
      status: { type: "string", enum: ["done", "pending", "refused", "failed", "unknown"] },
      requestId: { type: "string" },
      summary: { type: "string" },
      repeats: {
        type: "string",
        description: "when it was done, if this call repeats an earlier one and did not run",
      },
      ...(output === null ? {} : { result: nested(tool, output) }),
      ticket: { type: "string" },
      requestCode: { type: "string" },
      because: { type: "array", items: { type: "string" } },
      deadline: { type: "string" },
      waitingFor: { type: "string" },
      inquiries: {
        type: "array",
        description: `what people ask about the request; answer each with ${ANSWER_TOOL}`,
        items: {
          type: "object",
          properties: { id: { type: "string" }, text: { type: "string" } },
          required: ["id", "text"],
        },
      },
      retryAfterMs: { type: "number" },
      code: { type: "string" },
      class: { type: "string" },
      deniedBy: { type: "string", enum: ["policy", "person", "gate"] },
      message: { type: "string" },
      reason: { type: "string" },
      advice: { type: "string" },
    },
    required: ["status"],
  };
}

/** A schema inside another one: its own references keep pointing into itself. */
export function nested(tool: string, output: JsonSchema): JsonSchema {
  const { $schema: _, ...schema } = output;
  const refersToItself = JSON.stringify(schema).includes('"$ref"') && schema["$id"] === undefined;
  return refersToItself ? { $id: `urn:countersign:tool:${tool}:output`, ...schema } : schema;
}
