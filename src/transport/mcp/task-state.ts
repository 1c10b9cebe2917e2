import { ProtocolError, ProtocolErrorCode } from "@modelcontextprotocol/server";
import type { Logger } from "pino";
import { timestamp, type Timestamp } from "../../base/clock.ts";
import { idTime, isId } from "../../base/id.ts";
import type { Gate, Reply } from "../../gate/reply.ts";
import type { Caller } from "../../request/principal.ts";

// A request as a task of either protocol era: what both have in common.
//
//   T1. A task is a view of a request, and its id is the ticket: 80 random bits, and on every call the gate answers only
//       the request's own principal and agent (R1). To others it does not exist.
//   T2. What was denied, expired or failed has *completed*, with a result that says so. *failed* is a protocol's word
//       for an answer that is an error of the protocol: the gate never gives one, a fronted server may (SEP-2663). For
//       clients of 2025-11-25 such a task has completed too, because their library drops the words of one that failed.
//   T3. Who looks at a task counts as attached for a minute (`execute: when_attached`).

/** How long one look at a task counts (T3). */
export const LINGER_MS = 60_000;
/** A change that is allowed and done within so long is answered as if nothing had been said of tasks. */
export const HANDLE_AFTER_MS = 500;
/** How often a client should look. A look costs no disk. */
export const POLL_MS = 2_000;

export type TaskState =
  | { readonly state: "open"; readonly reply: Extract<Reply, { readonly status: "pending" }> }
  | { readonly state: "ended"; readonly reply: Reply }
  | { readonly state: "cancelled"; readonly reply: Reply };

/** An answer that is not about the request at all, so no task can show it. */
export interface NoTask {
  readonly state: "none";
  readonly isUnknown: boolean;
  readonly message: string;
}

export function taskStateOf(reply: Reply): TaskState | NoTask {
  switch (reply.status) {
    case "pending":
      return { state: "open", reply };
    case "refused":
      if (reply.request === null)
        return { state: "none", isUnknown: reply.code === "unknown_ticket", message: reply.message };
      return { state: reply.code === "withdrawn" ? "cancelled" : "ended", reply };
    case "done":
    case "failed":
    case "unknown":
      return { state: "ended", reply };
  }
}

export interface TaskTimes {
  readonly createdAt: Timestamp;
  readonly lastUpdatedAt: Timestamp;
}

export async function timesOf(gate: Gate, ticket: string): Promise<TaskTimes> {
  const createdAt = timestamp(isId("req", ticket) ? idTime(ticket) : 0);
  return { createdAt, lastUpdatedAt: (await gate.movedAt(ticket)) ?? createdAt };
}

/** One look at a task: it waits for nothing, and counts as being there for a while. */
export const lookAt = (gate: Gate, ticket: string, caller: Caller, signal: AbortSignal): Promise<Reply> =>
  gate.wait(ticket, caller, { holdMs: 0, lingerMs: LINGER_MS, signal });

/** The same, by who has another way to fetch the result. */
export const peekAt = (gate: Gate, ticket: string, caller: Caller, signal: AbortSignal): Promise<Reply> =>
  gate.wait(ticket, caller, { holdMs: 0, lingerMs: LINGER_MS, peeks: true, signal });

/** The SDK hands the message of whatever is thrown to the client; what is not meant for one stays in our log (P4). */
export async function guarded<T>(log: Logger, method: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    log.error({ err: error, method }, "request failed in the gateway");
    throw new ProtocolError(ProtocolErrorCode.InternalError, "the gateway broke down; its log has the cause");
  }
}
