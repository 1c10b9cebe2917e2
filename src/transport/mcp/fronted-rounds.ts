import { createHash } from "node:crypto";
import {
  CLIENT_CAPABILITIES_META_KEY,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
  type Result,
  type ServerContext,
} from "@modelcontextprotocol/server";
import type { JsonObject } from "../../base/canonical-json.ts";
import type { PublishedTool, Reply } from "../../gate/reply.ts";
import { ROUND_ARGUMENT, withRound } from "../../request/round.ts";
import { isFrontedState, type RoundCall, type Rounds } from "./rounds.ts";

// What a fronted server asks of the agent's side when it is read (`input_required`, MCP 2026-07-28).
//
//   P1. Only a read may ask: after people have approved, there is nothing left to say. The questions go to the client of
//       whoever called, if it declares that it takes them; the answers come back as a call of their own.
//   N1. The server's state goes out sealed, for this caller and this call (rounds.ts).

/** The kinds of questions that are passed on. */
const CAPABILITY: Readonly<Record<string, string>> = {
  "elicitation/create": "elicitation",
  "sampling/createMessage": "sampling",
  "roots/list": "roots",
};

/** All that this request's client declares. */
export function declaredOf(ctx: ServerContext): Readonly<Record<string, unknown>> {
  const envelope = ctx.mcpReq.envelope as Readonly<Record<string, unknown>> | undefined;
  const declared = envelope?.[CLIENT_CAPABILITIES_META_KEY];
  return isObject(declared) ? declared : {};
}

/** What this request's client declares of them: a claim, which tells a server what it may ask. */
export function asksOf(ctx: ServerContext): JsonObject {
  const declared = declaredOf(ctx);
  return Object.fromEntries(
    Object.values(CAPABILITY).flatMap((name) => (isObject(declared[name]) ? [[name, declared[name]]] : [])),
  ) as JsonObject;
}

/** @throws ProtocolError where a client writes by hand what only a sealed state may bring (N1) */
export function demandNoRound(args: unknown): void {
  if (!isObject(args) || !Object.hasOwn(args, ROUND_ARGUMENT)) return;
  throw new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    `"${ROUND_ARGUMENT}" is no argument; answers go into params.inputResponses`,
  );
}

/**
 * The arguments with what the client answers beside them, where the call goes on with a fronted server's questions.
 * @throws ProtocolError for a state that was not made for exactly this call (N1)
 */
export function answeredArguments(
  rounds: Rounds | undefined,
  call: RoundCall,
  tool: PublishedTool | undefined,
  ctx: ServerContext,
): unknown {
  const given = ctx.mcpReq.requestState();
  const answers = ctx.mcpReq.inputResponses;
  const mayAsk = tool?.upstream !== undefined && tool.annotations.readOnlyHint;
  const state = isFrontedState(given) && mayAsk ? (rounds?.openOf(call, given) ?? null) : null;
  if (isFrontedState(given) && state === null) {
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      "requestState is not one of this call, or is over; nothing ran",
      { reason: "invalid_request_state" },
    );
  }
  const isAnswered = state !== null || (given === undefined && answers !== undefined);
  if (!mayAsk || !isAnswered || !isObject(call.arguments)) return call.arguments;
  return withRound(call.arguments as JsonObject, { answers: (answers ?? {}) as JsonObject, state });
}

/**
 * The host's id of a call that brings answers. Hosts keep theirs over the rounds of one call, and with other arguments it
 * would be refused as used before; the same answers sent again are still the same call.
 */
export function roundCallId(callId: string | undefined, args: unknown): string | undefined {
  if (callId === undefined || !isObject(args) || !Object.hasOwn(args, ROUND_ARGUMENT)) return callId;
  const round = createHash("sha256").update(JSON.stringify(args[ROUND_ARGUMENT])).digest("base64url");
  return `${callId} round ${round}`;
}

/**
 * The server's questions as an answer to this call; null where the reply is something else.
 * @throws MissingRequiredClientCapabilityError where the client does not declare what would be asked of it
 */
export function questionsIn(
  reply: Reply,
  rounds: Rounds | undefined,
  call: RoundCall,
  declared: Fields,
): Result | null {
  if (reply.status !== "done" || !isObject(reply.output)) return null;
  const { typ, result, error } = reply.output;
  if (typ !== "countersign.upstream") return null;
  if (isObject(error)) demandWhatItNeeds(error, declared);
  if (!isObject(result) || result["resultType"] !== "input_required") return null;
  const { inputRequests, requestState } = result;
  const questions = isObject(inputRequests) ? inputRequests : {};
  for (const question of Object.values(questions)) {
    const method = isObject(question) ? String(question["method"]) : "";
    const capability = Object.hasOwn(CAPABILITY, method) ? CAPABILITY[method] : undefined;
    if (capability === undefined) {
      throw new ProtocolError(ProtocolErrorCode.InternalError, "the server asks what can't be passed on");
    }
    if (declared[capability] === undefined) {
      throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { [capability]: {} } });
    }
  }
  if (typeof requestState === "string" && rounds === undefined) return null;
  return {
    resultType: "input_required",
    ...(Object.keys(questions).length === 0 ? {} : { inputRequests: questions }),
    ...(typeof requestState === "string" ? { requestState: rounds?.sealOf(call, requestState) } : {}),
  };
}

/** A server that can't do without a capability says which; it is the client's own lack only where it lacks it. */
function demandWhatItNeeds({ code, data }: Fields, declared: Fields): void {
  const required = code === MISSING_CAPABILITY && isObject(data) ? data["requiredCapabilities"] : undefined;
  if (!isObject(required) || hasAll(declared, required)) return;
  throw new MissingRequiredClientCapabilityError({ requiredCapabilities: required as never });
}

/** Extensions are named one level further down. */
const hasAll = (declared: Fields, required: Fields): boolean =>
  Object.entries(required).every(([name, value]) => {
    const given = declared[name];
    return name === "extensions" && isObject(value) && isObject(given)
      ? Object.keys(value).every((extension) => given[extension] !== undefined)
      : given !== undefined;
  });

type Fields = Readonly<Record<string, unknown>>;

const MISSING_CAPABILITY = -32021;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
