import {
  CLIENT_CAPABILITIES_META_KEY,
  CLIENT_INFO_META_KEY,
  LOG_LEVEL_META_KEY,
  PROTOCOL_VERSION_META_KEY,
  type JSONRPCRequest,
  type ServerContext,
} from "@modelcontextprotocol/server";
import { isJsonObject } from "../../base/json-object.ts";
import type { Caller } from "../../request/principal.ts";

/** Of the SDK's context of a request, what is used here: what it says of itself, and the ways back to who sent it. */
export interface CallContext {
  readonly mcpReq: Pick<
    ServerContext["mcpReq"],
    "envelope" | "inputResponses" | "requestState" | "signal" | "notify"
  >;
}

/** What of `_meta` is said to the protocol, and not to whoever answers the method. */
const ENVELOPE = [
  ...[PROTOCOL_VERSION_META_KEY, CLIENT_INFO_META_KEY, CLIENT_CAPABILITIES_META_KEY, LOG_LEVEL_META_KEY],
];

/** A request as the SDK's server hands it over: its parameters, and apart from them what the protocol needs. */
export function liftedFrom(
  message: JSONRPCRequest,
  { signal, notify }: Pick<CallContext["mcpReq"], "signal" | "notify">,
): { readonly request: JSONRPCRequest; readonly ctx: CallContext } {
  const { requestState, inputResponses, ...params } = (message.params ?? {}) as Record<string, unknown>;
  let envelope: Record<string, unknown> | undefined;
  if (isJsonObject(params["_meta"])) {
    const meta: Record<string, unknown> = { ...params["_meta"] };
    for (const key of ENVELOPE) {
      if (!Object.hasOwn(meta, key)) continue;
      envelope ??= {};
      envelope[key] = meta[key];
      delete meta[key];
    }
    if (envelope !== undefined) {
      if (Object.keys(meta).length > 0) params["_meta"] = meta;
      else delete params["_meta"];
    }
  }
  return {
    request: message.params === undefined ? message : { ...message, params },
    ctx: {
      mcpReq: {
        ...(envelope === undefined ? {} : { envelope: envelope as never }),
        ...(inputResponses === undefined ? {} : { inputResponses: answersAmong(inputResponses) as never }),
        requestState: (() => requestState) as CallContext["mcpReq"]["requestState"],
        ...{ signal, notify },
      },
    },
  };
}

/** Of what a client answers, what can be an answer: no request, and no reply wrapped as one. */
const answersAmong = (given: unknown): Readonly<Record<string, unknown>> =>
  Object.fromEntries(
    Object.entries(isJsonObject(given) ? given : {}).filter(
      ([, one]) => isJsonObject(one) && !("method" in one) && !("result" in one),
    ),
  );

/** What the client says of itself on a request of 2026-07-28; null where it says nothing there. */
export function clientIn({ mcpReq }: CallContext): Caller["client"] {
  const info = (mcpReq.envelope as Readonly<Record<string, unknown>> | undefined)?.[CLIENT_INFO_META_KEY];
  return isJsonObject(info) ? clientClaim(info["name"], info["version"]) : null;
}

const MAX_CLAIM_LENGTH = 128;

/** A client's claim about itself, kept short. */
export const clientClaim = (name: unknown, version: unknown): Caller["client"] =>
  typeof name === "string" && typeof version === "string"
    ? { name: name.slice(0, MAX_CLAIM_LENGTH), version: version.slice(0, MAX_CLAIM_LENGTH) }
    : null;
