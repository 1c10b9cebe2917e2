import type { RequestId } from "../base/id.ts";
import type { Caller } from "../request/principal.ts";
import type { RefusalCode } from "../request/refusal.ts";
import { requesterKey } from "../request/requests.ts";
import type { Attend } from "./attend.ts";
import type { GateParts } from "./parts.ts";
import { ownRequest } from "./recognise.ts";
import type { Reply } from "./reply.ts";
import { refused } from "./resume.ts";

// The agent answers a person's question about its own request. What it says is a claim: recorded, masked, shown boxed,
// and outside the digest that anybody signs (P2, D1). It moves nothing.

/** The longest answer in bytes of UTF-8. A longer one is refused and not cut: half an answer is another one. */
export const MAX_ANSWER_BYTES = 8 * 1024;

const NO_WAIT = { holdMs: 0, signal: new AbortController().signal, onlyLooks: true };

export interface GivenAnswer {
  readonly inquiry: string;
  readonly text: string;
}

export function createAnswer(
  parts: GateParts,
  attend: Attend,
): (ticket: RequestId, caller: Caller, answer: GivenAnswer) => Promise<Reply> {
  const no = (request: RequestId, code: RefusalCode, message: string): Reply =>
    refused({ request, code, deniedBy: "gate", message });

  return async (ticket, caller, { inquiry: id, text }) => {
    const own = await ownRequest(parts, ticket, caller);
    if (!own.ok) return own.error;
    const bytes = Buffer.byteLength(text);
    if (bytes > MAX_ANSWER_BYTES) {
      return no(
        ticket,
        "call_too_large",
        `the answer is ${bytes} bytes; at most ${MAX_ANSWER_BYTES} are taken`,
      );
    }
    if (text.trim() === "") return no(ticket, "invalid_arguments", "the answer is empty");
    const masked = parts.mask.text(text.toWellFormed());
    let isCounted = false;
    for (;;) {
      await parts.store.catchUp();
      const record = parts.state.requests.open.get(ticket);
      const consent = parts.state.consents.byRequest.get(ticket);
      // Nobody waits for the answer any more: what became of the request is the better one.
      if (record?.phase !== "held" || consent === undefined) return attend(ticket, NO_WAIT);
      const inquiry = consent.inquiries.find((one) => one.id === id);
      if (inquiry === undefined) return no(ticket, "unknown_inquiry", "nobody asked that about this request");
      if (inquiry.answer !== null) {
        if (inquiry.answer.text === masked) return attend(ticket, NO_WAIT);
        return no(ticket, "unknown_inquiry", "that question was answered before; an answer is given once");
      }
      const { principal, agent } = record.received.requester;
      if (!isCounted && !parts.limiter.take(requesterKey(principal.id, agent), "heldPerMinute").ok) {
        return no(ticket, "rate_limited", "more calls a minute than are allowed");
      }
      isCounted = true;
      const appended = await parts.store.append({
        expect: [{ subject: ticket, newest: record.newestSeq }],
        newKeys: [],
        entries: [
          {
            kind: "inquiry.answered",
            subject: ticket,
            policy: parts.regime.current().policy.revision,
            data: { inquiry: id, text: masked, agent },
          },
        ],
      });
      if (appended.ok) return attend(ticket, NO_WAIT);
    }
  };
}
