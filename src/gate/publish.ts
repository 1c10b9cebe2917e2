import type { JsonObject } from "../base/canonical-json.ts";
import { justificationName } from "../request/arguments.ts";
import type { Tool } from "../tool.ts";
import type { PublishedTool } from "./reply.ts";

const ASK =
  "Why you are doing this, in one or two sentences, for the people who decide. It is shown to them as unverified.";

/** Publishes each tool once: lists are asked for often, and some are long. */
export function createPublisher(): (tool: Tool) => PublishedTool {
  const known = new WeakMap<Tool, PublishedTool>();
  return (tool) => {
    const published = known.get(tool) ?? publish(tool);
    known.set(tool, published);
    return published;
  };
}

/** A tool as MCP clients see it: our `justification` added, annotations derived from the effect and never hand-written. */
export function publish(tool: Tool): PublishedTool {
  const properties = (tool.inputSchema["properties"] ?? {}) as JsonObject;
  const required = (tool.inputSchema["required"] ?? []) as readonly string[];
  const justification = justificationName(properties);
  const gated = tool.fixedEffect !== "read";
  return {
    name: tool.name,
    title: tool.title,
    description: tool.description,
    inputSchema: gated
      ? {
          ...tool.inputSchema,
          properties: {
            ...properties,
            [justification]: { type: "string", maxLength: 8_000, description: ASK },
          },
          required: [...required, justification],
        }
      : tool.inputSchema,
    outputSchema: tool.outputSchema,
    annotations: {
      title: tool.title,
      readOnlyHint: tool.fixedEffect === "read",
      destructiveHint:
        tool.fixedEffect === "destructive" || tool.fixedEffect === "privilege" || tool.fixedEffect === null,
      idempotentHint: tool.idempotent,
      openWorldHint: true,
    },
    ...(tool.upstream === undefined ? {} : { upstream: tool.upstream }),
  };
}

/** The name under which this tool is asked for its justification. */
export const justificationOf = (tool: Tool): string =>
  justificationName((tool.inputSchema["properties"] ?? {}) as JsonObject);
