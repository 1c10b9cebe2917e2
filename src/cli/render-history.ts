import { displayWidth, padTo, wrap, type Paint } from "../base/terminal.ts";
import { neutralLine } from "../base/text.ts";
import type { Entry } from "../log/entry.ts";
import { requesterWords, type AnyRequester } from "../request/principal.ts";
import type { RequestSummary } from "../request/summary.ts";
import { formatMoment } from "./moment.ts";
import { paintPhase } from "./paint-phase.ts";

/** The entries of one request, one line each, oldest first. */
export function renderHistory(
  summary: RequestSummary,
  history: readonly Entry[],
  options: { readonly paint: Paint; readonly width: number; readonly zone: string },
): string {
  const { paint, width, zone } = options;
  const state =
    summary.reasonCode === null ? summary.phase : `${summary.phase}: ${neutralLine(summary.reasonCode)}`;
  const lines = [
    `${paint.bold(summary.id)}  ${paintPhase(state, paint)}`,
    ...wrap(neutralLine(`${summary.tool} by ${summary.agent} for ${summary.principal}`), width - 2).map(
      (line) => `  ${line}`,
    ),
    ...(summary.summary === null
      ? []
      : wrap(neutralLine(summary.summary), width - 2).map((line) => `  ${line}`)),
    "",
  ];
  for (const entry of history) lines.push(...renderEntry(entry, { paint, width, zone }));
  return lines.join("\n");
}

/** `#12  2026-…  decision.recorded  ana approved, counted`, wrapped under itself. */
export function renderEntry(
  entry: Entry,
  options: { readonly paint: Paint; readonly width: number; readonly zone: string },
): readonly string[] {
  const { paint, width, zone } = options;
  const head = `#${entry.seq}`.padStart(6);
  const when = formatMoment(Date.parse(entry.time), zone);
  const left = `${head}  ${when}  ${padTo(entry.kind, 20)} `;
  const says = neutralLine(entryWords(entry));
  const indent = displayWidth(left);
  const fits = indent + displayWidth(says) <= width;
  if (fits) return [`${paint.dim(`${head}  ${when}`)}  ${padTo(entry.kind, 20)} ${says}`.trimEnd()];
  return [
    `${paint.dim(`${head}  ${when}`)}  ${entry.kind}`,
    ...wrap(says, width - 8).map((line) => `        ${line}`),
  ];
}

/** What an entry says, in a few words. Not neutral yet: some of them are not ours. */
export function entryWords(entry: Entry): string {
  switch (entry.kind) {
    case "log.opened":
      return `log ${entry.data.log}, key ${entry.data.key}`;
    case "log.key_rotated":
      return `from now on ${entry.data.to} signs, not ${entry.data.from}`;
    case "blob.erased":
      return erasedWords(entry.data);
    case "throttled":
      return `${entry.data.count} calls of ${entry.data.agent} for ${entry.data.principal} turned away (${entry.data.limit})`;
    case "ask.delivered":
      return `${entry.data.request} over ${entry.data.channel}`;
    case "policy.adopted":
      return `revision ${entry.data.revision} (${entry.data.mode})${signers(entry.data.statements)}`;
    case "policy.endorsed":
      return `revision ${entry.data.statement.to.policy} by ${entry.data.statement.approver}`;
    case "policy.proposed":
      return entry.data.errors.length > 0
        ? `does not load: ${entry.data.errors.join("; ")}`
        : `revision ${entry.data.revision ?? "?"} waits to be adopted`;
    case "request.received":
      return `${entry.data.tool} by ${requesterText(entry.data.requester)} over ${entry.data.transport}`;
    case "request.planned":
      return `${entry.data.verdict}: ${entry.data.summary}`;
    case "request.refused":
      return `${entry.data.code} by ${entry.data.denied_by}: ${entry.data.message}`;
    case "request.withdrawn":
      return `by ${entry.data.by}${because(entry.data.reason)}`;
    case "request.expired":
      return entry.data.at === "consent" ? "nobody answered in time" : "the grant was not used in time";
    case "request.stale":
      return `${entry.data.why}: ${entry.data.message}`;
    case "consent.asked":
      return `code ${entry.data.code}, until ${entry.data.question.deadline}`;
    case "decision.recorded": {
      const { person, statement, counted, why_not: whyNot, assurance } = entry.data;
      const solo = statement.solo ? " (solo)" : "";
      const said = { approve: "approved", deny: "denied", take_back: "took back" }[statement.decision];
      return `${person} ${said}${solo}, ${assurance}, ${counted ? "counted" : `not counted: ${whyNot ?? "?"}`}${because(statement.reason)}`;
    }
    case "consent.escalated":
      return `${entry.data.to.join(", ")} may answer too`;
    case "consent.reminded":
      return `told again: ${entry.data.people.join(", ")}`;
    case "inquiry.made":
      return `${entry.data.person} asks: ${entry.data.text}`;
    case "inquiry.answered":
      return `${entry.data.agent} answers (unverified): ${entry.data.text}`;
    case "credential.endorsed":
      return `${entry.data.statement.approver} signs: ${entry.data.statement.action} for ${entry.data.statement.person}`;
    case "credential.invited":
      return `${entry.data.person} may enrol until ${entry.data.expires_at}${signers(entry.data.statements)}`;
    case "credential.enrolled":
      return `${entry.data.label} of ${entry.data.person}, counts from ${entry.data.counts_from}`;
    case "credential.removed":
      return `of ${entry.data.person}: ${entry.data.why}${signers(entry.data.statements)}`;
    case "consent.settled":
      return `${entry.data.outcome} by ${entry.data.by.join(", ")}${entry.data.solo ? " (solo)" : ""}${because(entry.data.reason)}`;
    case "grant.minted":
      return `from ${entry.data.basis}, until ${entry.data.execute_by}`;
    case "execution.claimed":
      return `by process ${entry.data.owner.pid}, fence ${entry.data.fence}`;
    case "execution.dispatched":
      return `fence ${entry.data.fence}`;
    case "execution.settled":
      return `${entry.data.outcome}: ${entry.data.error?.message ?? entry.data.summary}`;
    case "execution.resolved":
      return `${entry.data.outcome} by ${entry.data.person ?? entry.data.by}: ${entry.data.message}`;
    case "execution.late":
      return entry.data.message;
    case "lease.opened":
      return `${entry.data.tool}, until ${entry.data.ends_at}`;
    case "lease.ended":
      return `after ${entry.data.attempts} ${entry.data.attempts === 1 ? "attempt" : "attempts"}`;
  }
}

function erasedWords({ digest, request, documents, why, by }: Entry<"blob.erased">["data"]): string {
  const what =
    documents === undefined
      ? "sealed documents"
      : `${documents.length} ${documents.length === 1 ? "document" : "documents"}`;
  const of = request === null ? (digest ?? what) : `${what} of ${request}`;
  return `${of}${by === undefined ? "" : ` by ${by}`}: ${why}`;
}

/** `claude for ana`; says so where the policy did not know one of them. Not neutral yet. */
export const requesterText = (requester: AnyRequester): string => {
  const { principal, agent } = requesterWords(requester);
  return `${agent} for ${principal}`;
};

const because = (reason: string | null): string => (reason === null ? "" : `: ${reason}`);

const signers = (statements: readonly { readonly statement: { readonly approver: string } }[]): string =>
  statements.length === 0 ? "" : ` by ${statements.map(({ statement }) => statement.approver).join(", ")}`;
