import { paramHeaders } from "../../request/param-headers.ts";
import { HEADER_MISMATCH } from "./http-names.ts";
import { metaOf, paramsOf, type Message } from "./message.ts";

// Headers that repeat what stands in the body (MCP 2026-07-28, streamable HTTP): a client on stdio sends none, so whoever
// carries its messages over HTTP has to make them.

/** The revision that a message claims; null for clients from before 2026-07-28, whose messages claim none. */
export function versionOf(message: Message): string | null {
  const version = metaOf(message)["io.modelcontextprotocol/protocolVersion"];
  return typeof version === "string" ? version : null;
}

/** The headers that every message of that revision has. */
export function mirrorHeaders(message: Message, version: string): Record<string, string> {
  const { method } = message;
  const name = nameOf(message);
  return {
    "mcp-protocol-version": headerValue(version),
    ...(typeof method === "string" ? { "mcp-method": headerValue(method) } : {}),
    ...(name === null ? {} : { "mcp-name": headerValue(name) }),
  };
}

/** What `Mcp-Name` mirrors, by method. */
const NAME_OF: Readonly<Record<string, string>> = {
  "tools/call": "name",
  "prompts/get": "name",
  "resources/read": "uri",
  "tasks/get": "taskId",
  "tasks/update": "taskId",
  "tasks/cancel": "taskId",
};

function nameOf(message: Message): string | null {
  const field = NAME_OF[String(message["method"])];
  const value = field === undefined ? undefined : paramsOf(message)[field];
  return typeof value === "string" ? value : null;
}

/** Values that a header cannot carry as they are travel in the sentinel form `=?base64?…?=` (SEP-2243). */
export const headerValue = (value: string): string =>
  /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(value) && !/^=\?base64\?.*\?=$/.test(value)
    ? value
    : `=?base64?${Buffer.from(value).toString("base64")}?=`;

/**
 * Arguments that some tools want repeated (`x-mcp-header`). Which ones is in the list of tools; it is asked for when
 * the gateway misses such a header, and not before: few tools have any.
 */
export interface ArgumentHeaders {
  of(message: Message): Record<string, string>;
  /** True where the call is worth sending again: this answer said that headers are missing, and now they are known. */
  learn(message: Message, answer: string): Promise<boolean>;
}

/** `ask` sends a message of the shim's own and gives its answer, or null. */
export function createArgumentHeaders(ask: (message: Message) => Promise<Message | null>): ArgumentHeaders {
  let schemas: ReadonlyMap<unknown, unknown> = new Map();
  return {
    of(message) {
      if (message["method"] !== "tools/call" || versionOf(message) === null) return {};
      const { name, arguments: args } = paramsOf(message);
      return schemas.has(name) ? { ...paramHeaders(schemas.get(name), args) } : {};
    },
    async learn(message, answer) {
      if (message["method"] !== "tools/call" || !isMismatch(answer)) return false;
      const reserved = Object.entries(metaOf(message)).filter(([key]) =>
        key.startsWith("io.modelcontextprotocol/"),
      );
      const params = { _meta: Object.fromEntries(reserved) };
      const list = await ask({ jsonrpc: "2.0", id: "countersign-shim", method: "tools/list", params });
      const tools = (list?.["result"] as { tools?: unknown } | undefined)?.tools;
      if (!Array.isArray(tools)) return false;
      schemas = new Map(
        tools.map((tool: { name?: unknown; inputSchema?: unknown }) => [tool.name, tool.inputSchema]),
      );
      return Object.keys(this.of(message)).length > 0;
    },
  };
}

function isMismatch(answer: string): boolean {
  try {
    return (JSON.parse(answer) as { error?: { code?: unknown } }).error?.code === HEADER_MISMATCH;
  } catch {
    return false;
  }
}
