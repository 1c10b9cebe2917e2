import type { JsonObject } from "../base/canonical-json.ts";
import { newId, type RequestId } from "../base/id.ts";
import { err, ok, type Result } from "../base/result.ts";
import { actsThrough, resolveRequester, type Unresolved } from "../consent/requester.ts";
import type { RuleMatch } from "../policy/verdict.ts";
import { nameTargets } from "../preview/preview.ts";
import { readCall } from "../request/arguments.ts";
import { recognitionKeys, type RecognitionKeys } from "../request/recognition.ts";
import type { Effect } from "../request/action-request.ts";
import type { Caller } from "../request/principal.ts";
import { isHandWritten, ROUND_ARGUMENT, withRound } from "../request/round.ts";
import type { RefusalCode } from "../request/refusal.ts";
import { registrationDigest, type Received } from "./evidence.ts";
import { withChain, type Repeat } from "./again.ts";
import type { GateParts } from "./parts.ts";
import { justificationOf } from "./publish.ts";
import type { Regime } from "./regime.ts";
import type { Call } from "./reply.ts";

// Steps 1 to 3 of the pipeline, before anything outside is touched: take the call apart, find out who asks, parse
// the arguments, name the targets. Pure but for the id.

/** Why a call ends before it is a request. */
export interface IntakeRefusal {
  readonly code: RefusalCode;
  readonly message: string;
  /** The effect that the caller's token does not permit. */
  readonly beyond?: Effect;
  readonly rules?: readonly RuleMatch[];
  readonly because?: readonly string[];
}

export interface Intake {
  /** Under which it was taken in: requester, tool and targets are what this regime says, and so is the verdict. */
  readonly regime: Regime;
  readonly received: Received;
  readonly keys: RecognitionKeys;
  /** Set where the policy does not know who asks: the call is a read then, and only an allow lets it go on (C1). */
  readonly unresolved: Unresolved | null;
  /** The ended request that a person wants asked for again. */
  readonly follows: RequestId | null;
}

export function takeIn(
  parts: GateParts,
  regime: Regime,
  call: Call,
  repeat: Repeat | null = null,
): Result<Intake, IntakeRefusal> {
  const tool = regime.tools.get(call.tool);
  if (tool === undefined) {
    return err({ code: "unknown_tool", message: `no tool named "${call.tool.slice(0, 128)}"` });
  }
  if (isHandWritten(call.arguments)) return err(HAND_WRITTEN);
  const read = readCall(argumentsOf(call), call.reasoning, justificationOf(tool));
  if (!read.ok) return err(read.error);

  const resolved = resolveRequester(regime.policy, call.caller);
  // Before the arguments are looked at, where they can't make a read of it.
  if (!resolved.ok && tool.fixedEffect !== "read" && tool.fixedEffect !== null) {
    return err(unknownRequester(resolved.error));
  }
  const barred = (effect: Effect | null): IntakeRefusal | null =>
    effect === null || call.caller.permits?.includes(effect) !== false
      ? null
      : beyondToken(effect, call.caller);
  const early = barred(tool.fixedEffect);
  if (early !== null) return err(early);
  const parsed = tool.parseInput(read.value.arguments);
  if (!parsed.ok) {
    const issues = parsed.issues.slice(0, 10).map((issue) => `at ${issue.path}: ${issue.message}`);
    return err({ code: "invalid_arguments", message: issues.join("; ") });
  }
  if (!resolved.ok && tool.effect(parsed.input) !== "read") return err(unknownRequester(resolved.error));
  const late = tool.fixedEffect === null ? barred(tool.effect(parsed.input)) : null;
  if (late !== null) return err(late);
  const named = nameTargets(tool, parsed.input);
  if (!named.ok) return err({ code: named.error.code, message: named.error.message });

  const resolvedTo = resolved.ok ? resolved.value : resolved.error.requester;
  const requester =
    repeat === null || "unresolved" in resolvedTo ? resolvedTo : withChain(resolvedTo, repeat.chain);
  const callId = call.callId === undefined || call.callId === "" ? null : call.callId.slice(0, 512);
  const keys = recognitionKeys(parts.secret, {
    requester,
    through: actsThrough(regime.policy, call.caller),
    tool: tool.name,
    arguments: parsed.input,
    callId,
  });
  return ok({
    regime,
    follows: repeat?.follows ?? null,
    received: {
      id: newId("req", parts.clock.now()) as RequestId,
      tool,
      input: parsed.input,
      requester,
      caller: call.caller,
      reasoning: read.value.reasoning,
      targets: named.value.targets,
      registration: registrationDigest(named.value.registration),
    },
    keys: { ...keys, action: repeat?.actionKey ?? keys.action },
    unresolved: resolved.ok ? null : resolved.error,
  });
}

/** What is asked for: the arguments, and beside them what was answered to a fronted server's questions (D3). */
const argumentsOf = ({ arguments: given, round }: Call): unknown =>
  round === undefined || typeof given !== "object" || given === null || Array.isArray(given)
    ? given
    : withRound(given as JsonObject, round);

const HAND_WRITTEN: IntakeRefusal = {
  code: "invalid_arguments",
  message:
    `at /${ROUND_ARGUMENT.replace("/", "~1")}: no caller gives this; ` +
    "answers to a server's questions go into params.inputResponses, with the requestState that came with them",
};

/** What a token may be used for narrows what its holder may ask; it never makes the policy allow anything. */
export const beyondToken = (effect: Effect, { permits = [] }: Caller): IntakeRefusal => ({
  code: "insufficient_scope",
  message: `this call is a ${effect}, and the token that came with it is good for ${permits.join(", ") || "no call"}`,
  beyond: effect,
});

/** C1: the message shows the lines that an operator would add. */
export const unknownRequester = ({ message, lines }: Unresolved): IntakeRefusal => ({
  code: "unknown_requester",
  message: `${message}; an operator has to add\n${lines}`,
});
