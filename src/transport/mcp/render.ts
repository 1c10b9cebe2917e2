import type { CallToolResult } from "@modelcontextprotocol/server";
import type { Json } from "../../base/canonical-json.ts";
import type { Reply } from "../../gate/reply.ts";
import { passedResult } from "./fronted.ts";
import { plainLine, plainText, quoted } from "./plain-text.ts";
import { ANSWER_TOOL, CALL_ID_META, WAIT_TOOL, WITHDRAW_TOOL } from "./names.ts";

// How a reply looks to a model: once as text, once as data. Both say the same.
//
// `pending` is an ordinary success. As an error it would make models and agent loops repeat the gated call; as a
// success it tells them what to do instead. Everything that ended without the wanted effect is an error.

/** The status of a result, as `structuredContent.status`. */
export type ResultStatus = Reply["status"];

/** A reply in the shape of a tool result, for clients of either protocol era. */
export function renderReply(reply: Reply): CallToolResult {
  const passed = passedResult(reply);
  if (passed !== null) return passed;
  const text = textOf(reply);
  return {
    content: [{ type: "text", text }],
    structuredContent: withoutNulls(dataOf(reply)),
    isError: reply.status === "refused" || reply.status === "failed" || reply.status === "unknown",
  };
}

/**
 * A field that has nothing to say is left out: nullable fields cost portability, because some clients map tool schemas
 * onto dialects without a null type.
 */
const withoutNulls = (data: { readonly [key: string]: Json }): { [key: string]: Json } =>
  Object.fromEntries(Object.entries(data).filter(([, value]) => value !== null));

function dataOf(reply: Reply): { [key: string]: Json } {
  switch (reply.status) {
    case "done":
      return {
        status: "done",
        requestId: reply.request,
        summary: reply.summary,
        result: reply.output,
        repeats: reply.repeats ?? null,
      };
    case "pending":
      return {
        status: "pending",
        requestId: reply.ticket,
        ticket: reply.ticket,
        requestCode: reply.code,
        because: reply.because,
        deadline: reply.deadline,
        waitingFor: reply.waitingFor,
        inquiries:
          reply.inquiries.length === 0
            ? null
            : reply.inquiries.map(({ id, text }) => ({ id, text: plainText(text) })),
        retryAfterMs: reply.retryAfterMs,
      };
    case "refused":
      return {
        status: "refused",
        requestId: reply.request,
        code: reply.code,
        class: reply.class,
        deniedBy: reply.deniedBy,
        message: reply.message,
        because: reply.because,
        reason: reply.reason === null ? null : plainText(reply.reason),
        advice: reply.advice,
        retryAfterMs: reply.retryAfterMs,
      };
    case "failed":
      return { status: "failed", requestId: reply.request, code: reply.code, message: reply.message };
    case "unknown":
      return { status: "unknown", requestId: reply.request, message: reply.message };
  }
}

function textOf(reply: Reply): string {
  switch (reply.status) {
    case "done":
      return lines([
        `Done: ${plainLine(reply.summary)}`,
        `Request: ${reply.request}`,
        reply.repeats === undefined
          ? null
          : `This call repeats one that was done at ${reply.repeats}; it did not run again. To run it again, send it ` +
            `with another _meta["${CALL_ID_META}"], or ten minutes later.`,
        `Result: ${JSON.stringify(reply.output)}`,
      ]);
    case "pending":
      return lines([
        `Pending: ${plainLine(reply.waitingFor)}. This is no error, and it is not done.`,
        `Ticket: ${reply.ticket}`,
        reply.code === null
          ? null
          : `Request code: ${reply.code} (people who approve see the same six characters)`,
        ...why(reply.because),
        reply.deadline === null ? null : `No answer by ${reply.deadline} is a refusal.`,
        ...reply.inquiries.flatMap(({ id, text }) => [
          "",
          "A person asks before they decide:",
          quoted(text),
          `Answer truthfully with ${ANSWER_TOOL} {"ticket":"${reply.ticket}","inquiry":"${id}","answer":"..."}: they ` +
            "see it as your claim.",
        ]),
        "",
        "Do not call the tool again: it would not run twice, and asking again does not make it faster. " +
          `Call ${WAIT_TOOL} with {"ticket":"${reply.ticket}"} to wait for the answer, or go on with other work and ` +
          `call it later. ${WITHDRAW_TOOL} takes the request back.`,
      ]);
    case "refused":
      if (reply.code === "withdrawn") {
        return lines([
          `Withdrawn: ${plainLine(reply.message)}. Nothing ran.`,
          reply.request === null ? null : `Request: ${reply.request}`,
        ]);
      }
      return lines([
        `Refused (${reply.class}, ${reply.code}): ${plainLine(reply.message)}`,
        reply.request === null ? null : `Request: ${reply.request}`,
        `Refused by: ${deniedBy(reply.deniedBy)}. Nothing ran.`,
        ...why(reply.because),
        ...(reply.reason === null ? [] : ["The person who denied it wrote:", quoted(reply.reason)]),
        `What to do: ${plainLine(reply.advice)}`,
        reply.retryAfterMs === null
          ? null
          : `The same call may be tried again in ${seconds(reply.retryAfterMs)}.`,
      ]);
    case "failed":
      return lines([
        `Failed (${plainLine(reply.code)}): ${plainLine(reply.message)}`,
        `Request: ${reply.request}`,
        "It was started and is known to have changed nothing.",
      ]);
    case "unknown":
      return lines([
        `Outcome unknown: ${plainLine(reply.message)}`,
        `Request: ${reply.request}`,
        "It may or may not have taken effect. Do not call the tool again: find out the state of the target first, " +
          "or ask the operator.",
      ]);
  }
}

/** The answer to taking a request back: that it is withdrawn is what was wanted, and no error. */
export function renderWithdrawal(reply: Reply): CallToolResult {
  const result = renderReply(reply);
  return reply.status === "refused" && reply.code === "withdrawn" ? { ...result, isError: false } : result;
}

/** What is told where the gateway itself broke: the cause is in the operator's log only. */
export function renderFault(): CallToolResult {
  const message = "the gateway broke down while it handled this call";
  return {
    content: [
      {
        type: "text",
        text: lines([
          `Outcome unknown: ${message}`,
          "It may or may not have taken effect. The operator's log has the cause. If you call the tool again with " +
            "the same arguments, a request that exists already is recognised and not run twice.",
        ]),
      },
    ],
    structuredContent: { status: "unknown", message },
    isError: true,
  };
}

const lines = (parts: readonly (string | null)[]): string => parts.filter((part) => part !== null).join("\n");

const why = (because: readonly string[]): string[] => because.map((text) => `Why: ${plainLine(text)}`);

const deniedBy = (by: "policy" | "person" | "gate"): string => {
  switch (by) {
    case "policy":
      return "the policy";
    case "person":
      return "a person";
    case "gate":
      return "the gateway";
  }
};

const seconds = (ms: number): string => `${Math.max(1, Math.ceil(ms / 1_000))} s`;
