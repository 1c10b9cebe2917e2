import type { JSONRPCMessage, Transport, TransportSendOptions } from "@modelcontextprotocol/client";
import type { JsonObject } from "../base/canonical-json.ts";

// Results past the SDK, whole. On a connection of the 2026 era its client reads every result with the schemas of that
// revision: a content block of a kind it does not know makes the whole result invalid, and a lost one is an unknown
// outcome. So a complete result is put aside here, and the client is given an empty one that names it.

export interface WholeResults {
  readonly transport: Transport;
  /** The result behind what `client.request` gave. */
  of(given: JsonObject): JsonObject;
}

const PUT_ASIDE = "dev.countersign/put-aside";
const LIST = { ttlMs: 0, cacheScope: "private" };

/** By method, the least that the client takes for a result. */
const EMPTY: Readonly<Record<string, JsonObject>> = {
  "tools/call": { content: [] },
  "tools/list": { ...LIST, tools: [] },
  "resources/list": { ...LIST, resources: [] },
  "resources/templates/list": { ...LIST, resourceTemplates: [] },
  "resources/read": { ...LIST, contents: [] },
  "prompts/list": { ...LIST, prompts: [] },
  "prompts/get": { messages: [] },
};

export function withWholeResults(transport: Transport): WholeResults {
  /** Of the requests that wait for their answer, by id; some servers give a number back as text. */
  const methods = new Map<string, string>();
  const aside = new Map<string, JsonObject>();
  const send = transport.send.bind(transport);
  transport.send = async (message: JSONRPCMessage, options?: TransportSendOptions) => {
    if ("method" in message) {
      if ("id" in message) methods.set(String(message.id), message.method);
      else if (message.method === "notifications/cancelled")
        methods.delete(String(message.params?.["requestId"]));
    }
    await send(message, options);
  };
  let deliver: Transport["onmessage"];
  const receive: NonNullable<Transport["onmessage"]> = (message, extra) => {
    // An answer to nothing that was asked, or asked no more: the SDK would make a number of whatever its id is.
    if (!("method" in message) && methodOf(message.id) === undefined) {
      transport.onerror?.(new Error("an answer to no request"));
    } else deliver?.(replaced(message), extra);
  };
  const methodOf = (id: unknown): string | undefined =>
    typeof id === "number" || typeof id === "string" ? methods.get(String(id)) : undefined;
  const replaced = <M extends JSONRPCMessage>(message: M): M => {
    if ("method" in message || message.id === undefined) return message;
    const method = methodOf(message.id);
    methods.delete(String(message.id));
    if (method === undefined || !("result" in message)) return message;
    const { result } = message as { readonly result: unknown };
    const empty = EMPTY[method];
    if (empty === undefined || typeof result !== "object" || result === null) return message;
    if ((result as JsonObject)["resultType"] !== "complete") return message;
    const key = String(message.id);
    const { resultType: _, ...whole } = result as JsonObject;
    aside.set(key, whole);
    // Whoever asked takes it at once, unless their time was up.
    setTimeout(() => aside.delete(key), 5_000).unref();
    return { ...message, result: { resultType: "complete", ...empty, _meta: { [PUT_ASIDE]: key } } };
  };
  // The SDK sets it on whatever it was given.
  Object.defineProperty(transport, "onmessage", {
    configurable: true,
    enumerable: true,
    get: () => (deliver === undefined ? undefined : receive),
    set: (handler: Transport["onmessage"]) => {
      deliver = handler;
    },
  });
  return {
    transport,
    of(given) {
      const key = (given["_meta"] as JsonObject | undefined)?.[PUT_ASIDE];
      if (typeof key !== "string") return given;
      const whole = aside.get(key);
      aside.delete(key);
      // A server can't name what another call was answered with: each is taken away by its own.
      return whole ?? given;
    },
  };
}
