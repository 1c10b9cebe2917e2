import { DECISION_REFUSALS } from "../consent/entries.ts";
import type { Entry, EntryKind } from "../log/entry.ts";
import type { Tone } from "./phase.tsx";

/** What an entry says, for people. `title` is ours; `text` may be anybody's and is raw. */
export interface Saying {
  readonly title: string;
  /** Names and words of others: neutralised where it is shown. */
  readonly text: string | null;
  readonly tone: Tone;
  /** Whether `text` is an unverified claim of an agent. */
  readonly claimed?: boolean;
}

type Sayings = { readonly [K in EntryKind]?: (data: Entry<K>["data"]) => Saying };

const say = (title: string, text: string | null = null, tone: Tone = "quiet"): Saying => ({
  title,
  text,
  tone,
});
const join = (...parts: readonly (string | null | undefined)[]): string | null => {
  const said = parts.filter((part): part is string => part != null && part !== "");
  return said.length === 0 ? null : said.join(" · ");
};
const signers = (
  statements: readonly { readonly statement: { readonly approver: string } }[],
): string | null =>
  statements.length === 0
    ? null
    : `signed by ${statements.map(({ statement }) => statement.approver).join(", ")}`;

const SAYINGS: Sayings = {
  "log.opened": (data) => say("The log was opened", data.log),
  "blob.erased": (data) => say("A document was erased", data.why),
  throttled: (data) =>
    say(
      `${data.count} calls were turned away`,
      join(`${data.agent} for ${data.principal}`, data.limit),
      "bad",
    ),
  "ask.delivered": (data) => say("People were told", data.channel),
  "policy.adopted": (data) =>
    say(
      "A policy was adopted",
      join(data.revision.slice(0, 19), data.mode.replace("_", " "), signers(data.statements)),
      "good",
    ),
  "policy.endorsed": (data) =>
    say(
      "A policy change was signed",
      join(data.statement.approver, data.statement.to.policy.slice(0, 19)),
      "wait",
    ),
  "policy.proposed": (data) =>
    data.errors.length > 0
      ? say("The policy file does not load", data.errors.join("; "), "bad")
      : say("The policy file differs from what runs", data.revision?.slice(0, 19) ?? null, "wait"),
  "request.received": (data) =>
    say(
      "Asked",
      `${data.requester.agent} for ${data.requester.principal.id} called ${data.tool} over ${data.transport}`,
    ),
  "request.planned": (data) => say(`Planned; the policy says ${data.verdict}`, data.summary),
  "request.refused": (data) => say(`Refused by the ${data.denied_by}`, join(data.code, data.message), "bad"),
  "request.withdrawn": (data) => say("Withdrawn by the caller", join(data.by, data.reason)),
  "request.expired": (data) =>
    say(
      data.at === "consent"
        ? "Expired: nobody answered in time"
        : "Expired: the approval was not used in time",
    ),
  "request.stale": (data) =>
    say("Stale: the world changed", join(data.why.replaceAll("_", " "), data.message)),
  "consent.asked": (data) => say("People were asked", `code ${data.code}`, "wait"),
  "decision.recorded": (data) => {
    const said = { approve: "approved", deny: "denied", take_back: "took the approval back" };
    const { decision, reason, solo } = data.statement;
    const proof = { sshsig: "SSH key", webauthn: "passkey", session: "session, the gateway says" }[
      data.proof.kind
    ];
    const tone: Tone = !data.counted
      ? "quiet"
      : decision === "approve"
        ? "good"
        : decision === "deny"
          ? "bad"
          : "quiet";
    return say(
      `${data.person} ${said[decision]}${solo ? " (solo)" : ""}${data.counted ? "" : ", not counted"}`,
      join(
        `${data.assurance}, ${proof}`,
        data.why_not === null ? null : (DECISION_REFUSALS[data.why_not] ?? data.why_not),
        reason === null ? null : `“${reason}”`,
      ),
      tone,
    );
  },
  "consent.escalated": (data) => say("More people are asked", data.to.join(", "), "wait"),
  "consent.reminded": (data) => say("People were reminded", data.people.join(", ")),
  "inquiry.made": (data) => say(`${data.person} asked the agent`, data.text, "wait"),
  "inquiry.answered": (data) => ({
    ...say("The agent answered (unverified)", join(data.agent, data.text)),
    claimed: true,
  }),
  "consent.settled": (data) =>
    say(
      data.outcome === "granted" ? "Approved by enough people" : "Denied",
      join(data.by.join(", "), data.solo ? "solo" : null, data.reason === null ? null : `“${data.reason}”`),
      data.outcome === "granted" ? "good" : "bad",
    ),
  "grant.minted": (data) => say("Granted, once", `from ${data.basis}, until ${data.execute_by}`, "run"),
  "execution.claimed": (data) => say("Claimed by the gateway", `fence ${data.fence}`, "run"),
  "execution.dispatched": () => say("Sent to the backend", null, "run"),
  "execution.settled": (data) =>
    say(
      { done: "Done", failed: "Failed, nothing changed", unknown: "Outcome unknown" }[data.outcome],
      data.error === null ? data.summary : join(data.error.code, data.error.message),
      { done: "good", failed: "bad", unknown: "alarm" }[data.outcome] as Tone,
    ),
  "execution.resolved": (data) =>
    say(
      data.outcome === "done" ? "Found out: it ran" : "Found out: it did not run",
      join(data.person ?? `by ${data.by}`, data.message),
      data.outcome === "done" ? "good" : "bad",
    ),
  "execution.late": (data) => say("A late result came in; it changes nothing", data.message),
  "credential.endorsed": (data) =>
    say(
      "A passkey change was signed",
      join(data.statement.approver, `${data.statement.action} for ${data.statement.person}`),
      "wait",
    ),
  "credential.invited": (data) =>
    say("Invited to enrol a passkey", join(data.person, signers(data.statements)), "wait"),
  "credential.enrolled": (data) =>
    say(
      "A passkey was enrolled",
      join(`${data.label} of ${data.person}`, `counts from ${data.counts_from}`),
      "good",
    ),
  "credential.removed": (data) =>
    say("A passkey was removed", join(data.person, data.why, signers(data.statements)), "bad"),
  "lease.opened": (data) => say("A lease began", join(data.tool, `until ${data.ends_at}`), "run"),
  "lease.ended": (data) => say("A lease ended", `after ${data.attempts} attempt(s)`, "good"),
};

/** What an entry says; a kind that this page has no words for by its name. */
export function sayingOf(entry: Entry): Saying {
  const words = SAYINGS[entry.kind] as ((data: Entry["data"]) => Saying) | undefined;
  return words === undefined ? say(entry.kind) : words(entry.data);
}
