import type { CallToolResult, Tool } from "@modelcontextprotocol/server";
import type { Json } from "../../base/canonical-json.ts";
import type { PublishedTool, Reply } from "../../gate/reply.ts";
import { CALL_ID_META } from "./names.ts";
import { nested, widenedOutputSchema } from "./output-schema.ts";

// Tools of other servers, in MCP's words: what they say of themselves and what they answer goes through as it is. Three
// things differ. The name has its alias, the hints are those of the effect that counts here, and the output schema lets
// a pending or refused reply through.

type JsonObject = Readonly<Record<string, Json>>;

/** For clients of 2025-11-25, which may ask for a task only where this stands; the later revision leaves it out. */
export const SUSPENDABLE = { taskSupport: "optional" } as const;

/** The definition as it was accepted, members that nobody here knows included. */
export function frontedTool(tool: PublishedTool, definition: JsonObject): Tool {
  // Suspending a call is ours: what the server says about tasks is about calls that we make.
  const { execution: _, annotations: hints, outputSchema: output, ...rest } = definition;
  return {
    ...rest,
    name: tool.name,
    inputSchema: tool.inputSchema as Tool["inputSchema"],
    ...(isObject(output) ? { outputSchema: eitherSchema(tool.name, output) as Tool["outputSchema"] } : {}),
    annotations: {
      ...(isObject(hints) ? hints : {}),
      readOnlyHint: tool.annotations.readOnlyHint,
      destructiveHint: tool.annotations.destructiveHint,
      idempotentHint: tool.annotations.idempotentHint,
    },
    execution: SUSPENDABLE,
  } as Tool;
}

function eitherSchema(name: string, output: JsonObject): JsonObject {
  const { properties, required } = widenedOutputSchema(name, null);
  const ours = {
    ...(properties as JsonObject),
    status: { enum: ["done", "pending", "refused", "failed", "unknown"] },
  };
  return {
    type: "object",
    anyOf: [nested(name, output), { type: "object", properties: ours, required: required as Json }],
  };
}

/** The result of another server's tool, or null where the reply is none. */
export function passedResult(reply: Reply): CallToolResult | null {
  if (reply.status !== "done" || !isObject(reply.output)) return null;
  const { typ, result, error } = reply.output;
  if (typ !== "countersign.upstream") return null;
  const own = {
    "dev.countersign/request": reply.request,
    "dev.countersign/status": "done",
    ...(reply.repeats === undefined ? {} : { "dev.countersign/repeats": reply.repeats }),
  };
  const notes = [
    ...(reply.repeats === undefined
      ? []
      : [
          `This call repeats one that was done at ${reply.repeats}; it did not run again. To run it again, send it with ` +
            `another _meta["${CALL_ID_META}"], or ten minutes later.`,
        ]),
  ].map((text) => ({ type: "text", text }));
  if (isObject(error)) {
    const words = `The server answered with the error ${String(error["code"])}: ${String(error["message"])}`;
    return {
      content: [{ type: "text", text: words }, ...notes],
      isError: true,
      _meta: { ...own, "dev.countersign/error": error },
    } as CallToolResult;
  }
  const given = isObject(result) ? result : {};
  if (given["resultType"] === "input_required") {
    const words =
      "The server asks for more before it answers, and its questions can't be passed on here: its client has to be " +
      "one of MCP 2026-07-28 that declares it can be asked.";
    return {
      content: [{ type: "text", text: words }, ...notes],
      isError: true,
      _meta: own,
    } as CallToolResult;
  }
  const { _meta: meta, resultType: _, content, ...rest } = given;
  return {
    ...rest,
    content: [...(Array.isArray(content) ? (content as readonly Json[]) : []), ...notes],
    _meta: { ...plainMeta(meta), ...own },
  } as unknown as CallToolResult;
}

/**
 * Keys that the protocol keeps for itself belong to the exchange with the other server, not to this one. Keys of ours are
 * said by nobody else: by them a client tells what the gateway says from what a server does.
 */
const plainMeta = (meta: Json | undefined): JsonObject =>
  isObject(meta) ? Object.fromEntries(Object.entries(meta).filter(([key]) => !RESERVED.test(key))) : {};

const RESERVED =
  /^(?:[a-z0-9-]+\.)?(?:mcp|modelcontextprotocol)(?:\.[a-z0-9-]+)*\/|^progressToken$|^(?:[a-z0-9-]+\.)*dev\.countersign(?:\.[a-z0-9-]+)*\/|^countersign\//i;

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);
