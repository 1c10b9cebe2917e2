import { createHash } from "node:crypto";
import {
  CLIENT_CAPABILITIES_META_KEY,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
  type Result,
} from "@modelcontextprotocol/server";
import type { JsonObject } from "../../base/canonical-json.ts";
import { isJsonObject } from "../../base/json-object.ts";
import type { RequestId } from "../../base/id.ts";
import type { PublishedTool, Reply } from "../../gate/reply.ts";
import type { Round } from "../../request/round.ts";
import type { CallContext } from "./call-context.ts";
import { answersBack, CAPABILITY, relayedQuestions } from "./relayed-questions.ts";
import { isFrontedState, type RoundCall, type Rounds } from "./rounds.ts";

// What a fronted server asks of the agent's side when it is read (`input_required`, MCP 2026-07-28).
//
//   P1. Only a read may ask: after people have approved, there is nothing left to say. The questions go to the client of
//       whoever called, if it declares that it takes them; the answers come back as a call of their own.
//   N1. The server's state goes out sealed, for this caller and this call (rounds.ts).

/** All that this request's client declares. */
export function declaredOf(ctx: CallContext): Readonly<Record<string, unknown>> {
  const envelope = ctx.mcpReq.envelope as Readonly<Record<string, unknown>> | undefined;
  const declared = envelope?.[CLIENT_CAPABILITIES_META_KEY];
  return isJsonObject(declared) ? declared : {};
}

/**
 * What this request's client declares of the questions that are passed on: a claim, which tells a server what it may ask.
 * Of elicitation that is forms; an empty object has meant forms since before there were other modes.
 */
export function asksOf(ctx: CallContext): JsonObject {
  const { elicitation, ...declared } = declaredOf(ctx);
  const { url, ...modes }: Fields = isJsonObject(elicitation) ? elicitation : { url: {} };
  const asks =
    url === undefined || isJsonObject(modes["form"]) ? { ...declared, elicitation: modes } : declared;
  return Object.fromEntries(
    Object.values(CAPABILITY).flatMap((name) => {
      const given = (asks as Fields)[name];
      return isJsonObject(given) ? [[name, given]] : [];
    }),
  ) as JsonObject;
}

/**
 * What the client answers, where the call goes on with a fronted server's questions; null where it doesn't.
 * @throws ProtocolError for a state that was not made for exactly this call (N1)
 */
export function answersIn(
  rounds: Rounds | undefined,
  call: RoundCall,
  tool: PublishedTool | undefined,
  ctx: CallContext,
): Round | null {
  const given = ctx.mcpReq.requestState();
  const answers = ctx.mcpReq.inputResponses;
  const upstream = tool?.annotations.readOnlyHint === true ? tool.upstream : undefined;
  const state =
    isFrontedState(given) && upstream !== undefined ? (rounds?.openOf(call, given) ?? null) : null;
  if (isFrontedState(given) && state === null) {
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      "requestState is not one of this call, or is over; nothing ran",
      { reason: "invalid_request_state" },
    );
  }
  const isAnswered = state !== null || (given === undefined && answers !== undefined);
  if (upstream === undefined || !isAnswered) return null;
  return { answers: answersBack(upstream.alias, (answers ?? {}) as JsonObject), state };
}

/**
 * The host's id of a call that brings answers. Hosts keep theirs over the rounds of one call, and with other arguments it
 * would be refused as used before; the same answers sent again are still the same call.
 */
export function roundCallId(callId: string | undefined, round: Round | null): string | undefined {
  if (callId === undefined || round === null) return callId;
  const words = createHash("sha256").update(JSON.stringify(round)).digest("base64url");
  return `${callId} round ${words}`;
}

/** What becomes of a server's questions: they are asked, or nobody is asked and it is told why. */
export type Questions =
  | { readonly kind: "asked"; readonly result: Result }
  | { readonly kind: "not_passed_on"; readonly words: string; readonly request: RequestId };

/** What there is to know of the call and of who made it. */
export interface Asker {
  readonly rounds: Rounds | undefined;
  readonly call: RoundCall;
  readonly tool: PublishedTool | undefined;
  readonly ctx: CallContext;
}

/**
 * The server's questions as an answer to this call; null where the reply is something else.
 * @throws MissingRequiredClientCapabilityError where the client does not declare what would be asked of it
 */
export function questionsIn(reply: Reply, { rounds, call, tool, ctx }: Asker): Questions | null {
  if (tool?.upstream === undefined || reply.status !== "done" || !isJsonObject(reply.output)) return null;
  const { typ, result, error } = reply.output;
  if (typ !== "countersign.upstream") return null;
  if (isJsonObject(error)) demandWhatItNeeds(error, declaredOf(ctx));
  if (!isJsonObject(result) || result["resultType"] !== "input_required") return null;
  const { inputRequests, requestState } = result;
  const { alias } = tool.upstream;
  const relayed = relayedQuestions(alias, isJsonObject(inputRequests) ? (inputRequests as JsonObject) : {});
  if (!relayed.ok) {
    return { kind: "not_passed_on", words: notPassedOn(alias, relayed.error), request: reply.request };
  }
  const questions = relayed.value;
  const asks = asksOf(ctx);
  for (const { method } of Object.values(questions)) {
    const capability = CAPABILITY[method as string] as string;
    if (asks[capability] !== undefined) continue;
    throw new MissingRequiredClientCapabilityError({
      requiredCapabilities: { [capability]: capability === "elicitation" ? { form: {} } : {} },
    });
  }
  if (typeof requestState === "string" && rounds === undefined) return null;
  return {
    kind: "asked",
    result: {
      resultType: "input_required",
      ...(Object.keys(questions).length === 0 ? {} : { inputRequests: questions }),
      ...(typeof requestState === "string" ? { requestState: rounds?.sealOf(call, requestState) } : {}),
    },
  };
}

const notPassedOn = (alias: string, why: string): string =>
  `The server "${alias}" asks for more before it answers, and nobody is asked: ${why}. The call is over, and calling again ` +
  "asks the same; tell the person you work for, or the operator of this gateway.";

/** As the result of a tool. */
export const notAsked = ({ words, request }: Extract<Questions, { kind: "not_passed_on" }>): Result => ({
  content: [{ type: "text", text: words }],
  isError: true,
  _meta: { "dev.countersign/request": request, "dev.countersign/status": "done" },
});

/** A server that can't do without a capability says which; it is the client's own lack only where it lacks it. */
function demandWhatItNeeds({ code, data }: Fields, declared: Fields): void {
  const required =
    code === MISSING_CAPABILITY && isJsonObject(data) ? data["requiredCapabilities"] : undefined;
  if (!isJsonObject(required) || hasAll(declared, required)) return;
  // A client that declares it, because it is told to here, would not be asked all the same.
  if (isJsonObject(required["elicitation"]) && required["elicitation"]["url"] !== undefined) return;
  throw new MissingRequiredClientCapabilityError({ requiredCapabilities: required as never });
}

/** Extensions are named one level further down. */
const hasAll = (declared: Fields, required: Fields): boolean =>
  Object.entries(required).every(([name, value]) => {
    const given = declared[name];
    return name === "extensions" && isJsonObject(value) && isJsonObject(given)
      ? Object.keys(value).every((extension) => given[extension] !== undefined)
      : given !== undefined;
  });

type Fields = Readonly<Record<string, unknown>>;

const MISSING_CAPABILITY = -32021;
