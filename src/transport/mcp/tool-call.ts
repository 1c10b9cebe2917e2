import { REASONING_META } from "../../request/reasoning.ts";
import { CALL_ID_META } from "./names.ts";
import { MAX_TICKET_LENGTH } from "./tool-list.ts";

// What a `tools/call` says, taken apart and nothing more. Arguments and reasoning are passed on as they came: the gate
// validates, measures and hashes them, and one place that does so is enough.

/** Claude Code sends the model's tool use id on every call; it stays the same when the call is sent again. */
const CLAUDE_CODE_META = "claudecode/toolUseId";

const MAX_CALL_ID_LENGTH = 256;

export interface ToolCall {
  readonly tool: string;
  readonly arguments: unknown;
  readonly reasoning: unknown;
  readonly callId: string | undefined;
  readonly progressToken: string | number | undefined;
  readonly trace: string | undefined;
}

export type ParsedCall =
  { readonly ok: true; readonly call: ToolCall } | { readonly ok: false; readonly why: string };

export function parseToolCall(params: Readonly<Record<string, unknown>> | undefined): ParsedCall {
  const name = params?.["name"];
  if (typeof name !== "string") return { ok: false, why: "params.name must be a string" };
  const given = params?.["_meta"];
  const meta = (typeof given === "object" && given !== null ? given : {}) as Readonly<
    Record<string, unknown>
  >;
  const callId = CALL_ID_META in meta ? meta[CALL_ID_META] : meta[CLAUDE_CODE_META];
  if (callId !== undefined && !isCallId(callId)) {
    // Dropping it would quietly turn a recognised call into a new one.
    return { ok: false, why: `_meta call id must be a string of 1 to ${MAX_CALL_ID_LENGTH} characters` };
  }
  const token = meta["progressToken"];
  return {
    ok: true,
    call: {
      tool: name,
      arguments: params?.["arguments"] ?? {},
      reasoning: meta[REASONING_META],
      callId,
      progressToken: typeof token === "string" || typeof token === "number" ? token : undefined,
      trace: traceIn(meta),
    },
  };
}

/** W3C Trace Context Level 1 §3.2: version 00, and neither id all zeros. Anything else is passed over, as it says. */
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/**
 * Whose trace the call belongs to. `tracestate` and `baggage` stay here: they are free text, and what reaches a server in
 * it nobody has seen.
 */
export function traceIn(meta: Readonly<Record<string, unknown>>): string | undefined {
  const given = meta["traceparent"];
  return typeof given === "string" && TRACEPARENT.test(given) ? given : undefined;
}

const isCallId = (value: unknown): value is string =>
  typeof value === "string" && value.length > 0 && value.length <= MAX_CALL_ID_LENGTH;

export type TicketArguments =
  | { readonly ok: true; readonly ticket: string; readonly reason: string | null }
  | { readonly ok: false; readonly why: string };

export type AnswerArguments =
  | { readonly ok: true; readonly ticket: string; readonly inquiry: string; readonly answer: string }
  | { readonly ok: false; readonly why: string };

/** Arguments of the tool that answers people. How long an answer may be is for the gate to say. */
export function parseAnswer(value: unknown): AnswerArguments {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { ok: false, why: "arguments must be an object" };
  }
  const { inquiry, answer, ...rest } = value as Readonly<Record<string, unknown>>;
  const parsed = parseTicket(rest, false);
  if (!parsed.ok) return parsed;
  if (typeof inquiry !== "string" || inquiry.length === 0 || inquiry.length > MAX_TICKET_LENGTH) {
    return { ok: false, why: "inquiry must be the id of a question in a pending result" };
  }
  if (typeof answer !== "string") return { ok: false, why: "answer must be a string" };
  return { ok: true, ticket: parsed.ticket, inquiry, answer };
}

/** Arguments of the tools that take a ticket and no more. */
export function parseTicket(value: unknown, withReason: boolean): TicketArguments {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { ok: false, why: "arguments must be an object" };
  }
  const { ticket, reason, ...rest } = value as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(rest)[0] ?? (reason !== undefined && !withReason ? "reason" : undefined);
  if (unknown !== undefined) return { ok: false, why: `unknown argument "${unknown.slice(0, 64)}"` };
  if (typeof ticket !== "string" || ticket.length === 0 || ticket.length > MAX_TICKET_LENGTH) {
    return { ok: false, why: "ticket must be the ticket of a pending result" };
  }
  if (reason !== undefined && reason !== null && (typeof reason !== "string" || reason.length > 1_000)) {
    return { ok: false, why: "reason must be a string of at most 1000 characters" };
  }
  return { ok: true, ticket, reason: reason ?? null };
}
