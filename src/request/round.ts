import type { JsonObject } from "../base/canonical-json.ts";
import { isJsonObject } from "../base/json-object.ts";

// Answers to what a fronted server asked when it was called before (`input_required`, MCP 2026-07-28).
//
//   D3. They are part of what is asked for: they stand among the arguments, under a name of ours, so that policy judges
//       them, people see them, and the log has them. Another answer is another action.
//   N1. Only the gate puts them there, from a round that a transport took out of its seal. Arguments that have the name
//       already, whatever they came over, are no call.

/** The argument that holds them. No server gets it as an argument. */
export const ROUND_ARGUMENT = "dev.countersign/round";

export interface Round {
  readonly answers: JsonObject;
  /** What the server gave along with its questions. */
  readonly state: string | null;
}

/** True for arguments in which somebody wrote a round by hand (N1). */
export const isHandWritten = (args: unknown): boolean =>
  typeof args === "object" && args !== null && Object.hasOwn(args, ROUND_ARGUMENT);

export const withRound = (args: JsonObject, { answers, state }: Round): JsonObject => ({
  ...args,
  [ROUND_ARGUMENT]: { answers, ...(state === null ? {} : { state }) },
});

/** The server's own arguments, and the answers beside them. */
export function splitRound(args: JsonObject): { readonly args: JsonObject; readonly round: Round | null } {
  const { [ROUND_ARGUMENT]: given, ...rest } = args;
  if (!isJsonObject(given) || !isJsonObject(given["answers"])) return { args, round: null };
  const { answers, state, ...more } = given;
  if (Object.keys(more).length > 0 || (state !== undefined && typeof state !== "string")) {
    return { args, round: null };
  }
  return { args: rest, round: { answers: answers as JsonObject, state: state ?? null } };
}

/** What a request to the server carries besides its arguments. */
export const roundParams = (round: Round | null): JsonObject =>
  round === null
    ? {}
    : { inputResponses: round.answers, ...(round.state === null ? {} : { requestState: round.state }) };
