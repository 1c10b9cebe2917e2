import { ProtocolError, ProtocolErrorCode, type Result } from "@modelcontextprotocol/server";
import type { Reply } from "../../gate/reply.ts";
import type { Declared } from "./declared.ts";
import { ANSWER_TOOL, WITHDRAW_TOOL } from "./names.ts";
import type { Round, RoundCall, Rounds } from "./rounds.ts";

// A call that is still held, as an answer that asks the client to come back, and the way back from one.

export interface RoundParts {
  readonly sealed: Rounds;
  /** Answers of this kind in a row. */
  readonly most: number;
  /** The page of a request, where its requester is to be pointed at it; null: it is not. */
  readonly pageOf: (ticket: string) => string | null;
}

/**
 * The round that a call continues; null where it begins.
 * @throws ProtocolError for a state that was not made for exactly this call (N1)
 */
export function resumeRound(parts: RoundParts | undefined, call: RoundCall, state: unknown): Round | null {
  if (state === undefined) return null;
  const round = parts?.sealed.open(call, state) ?? null;
  if (round !== null) return round;
  throw new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    "requestState is not one of this call, or is over; nothing ran. Without it the same call is recognised",
    { reason: "invalid_request_state" },
  );
}

/** The answer of one more round; null where the ticket is the better one. */
export function nextRound(
  parts: RoundParts | undefined,
  call: RoundCall,
  reply: Extract<Reply, { readonly status: "pending" }>,
  before: Round | null,
  declared: Declared,
): Result | null {
  const round = (before?.round ?? 0) + 1;
  if (parts === undefined || round > parts.most) return null;
  // These answer at once, and a person's question is for the model: it has to see the ticket to answer.
  if (call.tool === ANSWER_TOOL || call.tool === WITHDRAW_TOOL || reply.inquiries.length > 0) return null;
  const requestState = parts.sealed.seal(call, { ticket: reply.ticket, round });
  const page = round === 1 && declared.url ? parts.pageOf(reply.ticket) : null;
  return {
    resultType: "input_required",
    requestState,
    ...(page === null ? {} : { inputRequests: { page: pointer(page, reply.code) } }),
  };
}

/**
 * Where the requester can see how it stands. The page knows nobody by this link, and what the client answers is read
 * by nobody: whether someone opened a link says nothing about consent (P1).
 */
const pointer = (url: string, code: string | null): object => ({
  method: "elicitation/create",
  params: {
    mode: "url",
    url,
    message:
      `${code === null ? "A request" : `Request ${code}`} waits for people to approve it. Its page shows where it ` +
      "stands, to those who sign in there. Opening it approves nothing.",
  },
});
