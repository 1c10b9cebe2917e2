import { ProtocolErrorCode, type CallToolResult, type Tool } from "@modelcontextprotocol/server";
import type { Json } from "../../base/canonical-json.ts";
import { isJsonObject } from "../../base/json-object.ts";
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
    ...(isJsonObject(output)
      ? { outputSchema: eitherSchema(tool.name, output) as Tool["outputSchema"] }
      : {}),
    annotations: {
      ...(isJsonObject(hints) ? hints : {}),
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
  if (reply.status !== "done" || !isJsonObject(reply.output)) return null;
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
  if (isJsonObject(error)) {
    const words = `The server answered with the error ${String(error["code"])}: ${String(error["message"])}`;
    return {
      content: [{ type: "text", text: words }, ...notes],
      isError: true,
      _meta: { ...own, "dev.countersign/error": error },
    } as CallToolResult;
  }
  const given = isJsonObject(result) ? result : {};
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

/** JSON-RPC codes of ours: outside the range that the specifications keep (JSON-RPC 2.0 §5.1). */
export const NOT_NOW = { pending: -31_001, refused: -31_002 } as const;

/** An error in the protocol's own form. */
export interface PassedError {
  readonly code: number;
  readonly message: string;
  readonly data?: Json;
  /** Under the server's own code; else that code is about the exchange with us, or would make a client act. */
  readonly isItsOwn: boolean;
}

/**
 * The error that another server answered with, under its own code where that is about the request; null where the reply
 * is something else. Other codes of the protocol's range, and ours, make a client do something: open a page, greet again,
 * take a ticket. Those are told and not said.
 */
export function upstreamError(reply: Reply): PassedError | null {
  if (reply.status !== "done" || !isJsonObject(reply.output)) return null;
  const { typ, error } = reply.output;
  if (typ !== "countersign.upstream" || !isJsonObject(error)) return null;
  const code = Number(error["code"]);
  const message = String(error["message"]);
  const isKept = code >= -32_768 && code <= -32_000;
  const isOurs = code === NOT_NOW.pending || code === NOT_NOW.refused;
  if (Number.isSafeInteger(code) && (PASSED_ON.has(code) || !(isKept || isOurs))) {
    return { isItsOwn: true, code, message, ...(error["data"] === undefined ? {} : { data: error["data"] }) };
  }
  return {
    isItsOwn: false,
    code: ProtocolErrorCode.InternalError,
    message: `The server answered with the error ${code}: ${message}`,
    data: { "dev.countersign/error": error },
  };
}

/** Resource not found in either form, and what JSON-RPC says of parameters, methods and faults. */
const PASSED_ON = new Set([-32_002, -32_602, -32_601, -32_603, -32_000]);

/**
 * Keys that the protocol keeps for itself belong to the exchange with the other server, not to this one. Keys of ours are
 * said by nobody else: by them a client tells what the gateway says from what a server does.
 */
const plainMeta = (meta: Json | undefined): JsonObject =>
  isJsonObject(meta) ? Object.fromEntries(Object.entries(meta).filter(([key]) => !RESERVED.test(key))) : {};

const RESERVED =
  /^(?:[a-z0-9-]+\.)?(?:mcp|modelcontextprotocol)(?:\.[a-z0-9-]+)*\/|^progressToken$|^(?:[a-z0-9-]+\.)*dev\.countersign(?:\.[a-z0-9-]+)*\/|^countersign\//i;
