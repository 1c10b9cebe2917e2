import { createHmac } from "node:crypto";
import { canonicalJson, type JsonObject } from "../base/canonical-json.ts";
import type { KeyHold } from "../log/entry.ts";
import { unresolvedSides, type AnyRequester } from "./principal.ts";
import type { Phase } from "./summary.ts";

// Recognition: a re-sent call is answered from the request that exists, and nothing runs twice.
//
//   R1. Keys are scoped to principal and agent, and to whom the agent acts through; recognition never crosses principals.
//   R2. A host's call id answers while the request is open and for a day after it ended; with other arguments it is
//       refused as `key_reused`.
//   R3. The action itself answers while the request is open; for 10 min after *done* if the call carried no host id;
//       for 10 min after a final denial (cool-off); and until resolved after *unknown*. All else, a fixable denial
//       too, frees it at once.
//       A read frees it as soon as it is done: asked again, the world may answer otherwise, and asking changes
//       nothing.
//   R4. Keys are keyed hashes: the log must not let its reader guess arguments (L3).

export const CALL_KEY_LIFE_MS = 24 * 3_600_000;
export const COOL_OFF_MS = 600_000;

const CALL = "call:";
const ACTION = "act:";

export interface RecognitionKeys {
  readonly action: string;
  readonly call: string | null;
}

/** `secret` is the home's `mask` key. Arguments are the agent's own, without our justification. */
export function recognitionKeys(
  secret: Uint8Array,
  parts: {
    readonly requester: AnyRequester;
    /** Whom the caller acts through; empty for most. */
    readonly through: readonly string[];
    readonly tool: string;
    readonly arguments: JsonObject;
    readonly callId: string | null;
  },
): RecognitionKeys {
  const { requester, through } = parts;
  // A list, where only the name of a tool could stand else.
  const scope = [...scopeOf(requester), ...(through.length === 0 ? [] : [through])];
  return {
    action: ACTION + keyed(secret, [...scope, parts.tool, parts.arguments]),
    call: parts.callId === null ? null : CALL + keyed(secret, [...scope, "call", parts.callId]),
  };
}

/** R1: a name that the policy does not know is never taken for one that it knows, or knew. */
const scopeOf = (requester: AnyRequester): readonly string[] => {
  const unknown = unresolvedSides(requester);
  const known = [requester.principal.id, requester.agent];
  return unknown.length === 0 ? known : [...known, `unresolved ${unknown.join(" ")}`];
};

/** The key of the action itself among those that a request holds. */
export const actionKeyIn = (holds: readonly KeyHold[]): string | null =>
  holds.find(({ key }) => key.startsWith(ACTION))?.key ?? null;

/** Holds to write with `request.received`. */
export const takenKeys = (keys: RecognitionKeys): readonly KeyHold[] => [
  { key: keys.action, until: null },
  ...(keys.call === null ? [] : [{ key: keys.call, until: null }]),
];

/** How long each key of a request goes on answering once it is in this phase (R2, R3). `now` in epoch ms. */
export function keysAfter(
  taken: readonly KeyHold[],
  phase: Phase,
  final: boolean,
  now: number,
): readonly KeyHold[] {
  const hasCallId = taken.some((hold) => hold.key.startsWith(CALL));
  return taken.map(({ key }) => ({
    key,
    until: key.startsWith(CALL) ? now + CALL_KEY_LIFE_MS : now + actionLifeMs(phase, final, hasCallId),
  }));
}

/** The same once an allowed read has ended (R3). */
export const keysAfterRead = (taken: readonly KeyHold[], now: number): readonly KeyHold[] =>
  taken.map(({ key }) => ({ key, until: key.startsWith(CALL) ? now + CALL_KEY_LIFE_MS : now }));

function actionLifeMs(phase: Phase, final: boolean, hasCallId: boolean): number {
  if (phase === "done") return hasCallId ? 0 : COOL_OFF_MS;
  return final ? COOL_OFF_MS : 0;
}

function keyed(secret: Uint8Array, value: readonly unknown[]): string {
  return createHmac("sha256", secret)
    .update(`countersign.recognise.v1\n${canonicalJson(value)}`)
    .digest("base64url")
    .slice(0, 22);
}
