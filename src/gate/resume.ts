import type { Json } from "../base/canonical-json.ts";
import { timestamp } from "../base/clock.ts";
import type { RequestId } from "../base/id.ts";
import type { Consent } from "../consent/consents.ts";
import type { Quorum } from "../consent/desk.ts";
import type { Ran } from "../execution/execution.ts";
import type { Entry } from "../log/entry.ts";
import type { BlobRef } from "../request/action-request.ts";
import { COOL_OFF_MS } from "../request/recognition.ts";
import { REFUSALS, type RefusalCode } from "../request/refusal.ts";
import type { RequestRecord } from "../request/requests.ts";
import type { Reply } from "./reply.ts";

// What a caller is told of a request, made from its state or, once it is closed, from its entries.
// P4: before a grant nothing that was made with preview credentials leaves: code, ticket, because, deadline.

export const RETRY_AFTER_MS = 5_000;

/** The answer for an open request. */
export function pendingReply(
  record: RequestRecord,
  consent: Consent | undefined,
  quorum: Quorum | null,
): Reply {
  return {
    status: "pending",
    ticket: record.id,
    code: record.code,
    because: record.planned?.because ?? [],
    deadline: consent === undefined ? null : timestamp(consent.deadline),
    waitingFor: waitingFor(record, consent, quorum),
    inquiries: openInquiries(record, consent),
    retryAfterMs: RETRY_AFTER_MS,
  };
}

/** What people have asked and the agent has not answered, while it can still matter. */
export const openInquiries = (
  record: RequestRecord,
  consent: Consent | undefined,
): readonly { readonly id: string; readonly text: string }[] =>
  record.phase !== "held" || consent === undefined
    ? []
    : consent.inquiries.filter(({ answer }) => answer === null).map(({ id, text }) => ({ id, text }));

function waitingFor(record: RequestRecord, consent: Consent | undefined, quorum: Quorum | null): string {
  switch (record.phase) {
    case "granted":
    case "claimed":
    case "dispatched":
      return "approved; running";
    default: {
      if (quorum === null) return "waiting for people";
      const needed = quorum.clauses.reduce((sum, { clause }) => sum + clause.count, 0);
      const given = quorum.clauses.reduce((sum, { clause, missing }) => sum + clause.count - missing, 0);
      const notes = [
        ...(consent?.decisions.some(({ takenBack }) => takenBack) === true
          ? ["an approval was taken back"]
          : []),
        ...(consent !== undefined && consent.escalated.length > 0 ? ["more people are asked"] : []),
      ];
      return [`waiting for people: ${given} of ${needed} approvals`, ...notes].join("; ");
    }
  }
}

/** A refusal in the words of the catalogue. */
export function refused(parts: {
  readonly request: RequestId | null;
  readonly code: RefusalCode;
  readonly deniedBy: "policy" | "person" | "gate";
  readonly message: string;
  readonly because?: readonly string[];
  readonly reason?: string | null;
  readonly retryAfterMs?: number | null;
}): Reply {
  const { class: refusalClass, advice } = REFUSALS[parts.code];
  return {
    status: "refused",
    request: parts.request,
    code: parts.code,
    class: refusalClass,
    deniedBy: parts.deniedBy,
    message: parts.message,
    because: parts.because ?? [],
    reason: parts.reason ?? null,
    advice,
    retryAfterMs: parts.retryAfterMs ?? (refusalClass === "denied_final" ? COOL_OFF_MS : null),
  };
}

/** The answer for an ended request, from its entries. `output` reads a stored, masked result. */
export async function replyFromHistory(
  id: RequestId,
  entries: readonly Entry[],
  output: (ref: BlobRef) => Promise<Json>,
): Promise<Reply | null> {
  for (const entry of [...entries].reverse()) {
    switch (entry.kind) {
      case "execution.resolved":
        return entry.data.outcome === "done"
          ? { status: "done", request: id, summary: entry.data.message, output: null }
          : { status: "failed", request: id, code: "did_not_run", message: entry.data.message };
      case "execution.settled":
        return settledReply(id, entry, output);
      case "consent.settled":
        if (entry.data.outcome === "granted") break;
        return refused({
          request: id,
          code: entry.data.fixable === true ? "correction_wanted" : "denied_by_person",
          deniedBy: "person",
          message:
            entry.data.fixable === true
              ? "a person wants the call corrected before it may run"
              : "a person denied the request",
          reason: entry.data.reason,
        });
      case "request.refused":
        return refused({
          request: id,
          code: entry.data.code,
          deniedBy: entry.data.denied_by,
          message: entry.data.message,
          because: entry.data.because,
        });
      case "request.withdrawn":
        return refused({
          request: id,
          code: "withdrawn",
          deniedBy: "gate",
          message: "the caller withdrew the request",
        });
      case "request.stale":
        return refused({ request: id, code: "stale", deniedBy: "gate", message: entry.data.message });
      case "request.expired":
        return refused({
          request: id,
          code: "expired",
          deniedBy: "gate",
          message:
            entry.data.at === "consent"
              ? `nobody decided before ${entry.data.deadline}`
              : `it was granted and not started before ${entry.data.deadline}`,
        });
      default:
        break;
    }
  }
  return null;
}

/** The answer of a run whose outcome is not in the log yet. */
export function replyOfRun(id: RequestId, { outcome, output }: Ran): Reply {
  const { kind, summary } = outcome;
  switch (kind) {
    case "done":
      return { status: "done", request: id, summary, output };
    case "failed":
      return { status: "failed", request: id, code: outcome.error?.code ?? "failed", message: summary };
    case "unknown":
      return { status: "unknown", request: id, message: summary };
  }
}

async function settledReply(
  id: RequestId,
  { data }: Entry<"execution.settled">,
  output: (ref: BlobRef) => Promise<Json>,
): Promise<Reply> {
  switch (data.outcome) {
    case "done":
      return {
        status: "done",
        request: id,
        summary: data.summary,
        output: data.output === null ? null : await output(data.output),
      };
    case "failed":
      return { status: "failed", request: id, code: data.error?.code ?? "failed", message: data.summary };
    case "unknown":
      return { status: "unknown", request: id, message: data.summary };
  }
}
