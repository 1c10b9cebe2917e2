import { isJsonObject } from "../../base/json-object.ts";

// What arrived, before the SDK or anything else of ours looks at it.
//
// The rest of the gateway relies on this: what it hashes, shows and runs is what the client sent. So bytes that a
// lenient decoder would silently change (invalid UTF-8, a byte order mark) are refused, and so is nesting deep enough
// to break a recursive walk somewhere behind this door. JSON-RPC batches are refused too: one message is one call,
// with its own stream, its own limits and its own line in the log. (No current revision of MCP has batches.)

export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** Above the gate's own limit for arguments (64) plus what wraps them. */
export const MAX_MESSAGE_DEPTH = 128;

export type RpcId = string | number;
export type Message = { readonly [key: string]: unknown };

export type ParsedMessage =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly code: -32700 | -32600; readonly why: string };

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** One JSON-RPC message from its bytes. */
export function parseMessage(bytes: Uint8Array): ParsedMessage {
  if (bytes.length > MAX_MESSAGE_BYTES) {
    return { ok: false, code: -32600, why: `a message may have ${MAX_MESSAGE_BYTES} bytes` };
  }
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return { ok: false, code: -32700, why: "not UTF-8" };
  }
  if (isDeeper(text, MAX_MESSAGE_DEPTH)) {
    return { ok: false, code: -32600, why: `nested deeper than ${MAX_MESSAGE_DEPTH}` };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, code: -32700, why: "not JSON" };
  }
  if (Array.isArray(value))
    return { ok: false, code: -32600, why: "batches are not served; send one message" };
  if (typeof value !== "object" || value === null)
    return { ok: false, code: -32600, why: "not a JSON-RPC message" };
  return { ok: true, message: value as Message };
}

/** The error answer for bytes that were no message; its id cannot be known. */
export const parseError = (problem: { readonly code: number; readonly why: string }): Message => ({
  jsonrpc: "2.0",
  id: null,
  error: {
    code: problem.code,
    message: problem.code === -32700 ? `parse error: ${problem.why}` : problem.why,
  },
});

/** The id of a request, or null for anything else. */
export function requestIdOf(message: Message): RpcId | null {
  const id = message["id"];
  return typeof message["method"] === "string" && (typeof id === "string" || typeof id === "number")
    ? id
    : null;
}

/** `params`, or an empty object where there are none. */
export const paramsOf = (message: Message): Message => objectOf(message["params"]);

/** `_meta` of the params, or an empty object. */
export const metaOf = (message: Message): Message => objectOf(paramsOf(message)["_meta"]);

/** The request that a cancellation names; it will not be answered. */
export function cancelledIdOf(message: Message): RpcId | null {
  if (message["method"] !== "notifications/cancelled") return null;
  const id = paramsOf(message)["requestId"];
  return typeof id === "string" || typeof id === "number" ? id : null;
}

const objectOf = (value: unknown): Message => (isJsonObject(value) ? value : {});

/** Counts brackets outside strings: linear, and without building anything. */
function isDeeper(text: string, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < text.length; i += 1) {
    const char = text.charCodeAt(i);
    if (inString) {
      if (char === 0x5c) i += 1;
      else if (char === 0x22) inString = false;
    } else if (char === 0x22) inString = true;
    else if (char === 0x5b || char === 0x7b) {
      depth += 1;
      if (depth > limit) return true;
    } else if (char === 0x5d || char === 0x7d) depth -= 1;
  }
  return false;
}
