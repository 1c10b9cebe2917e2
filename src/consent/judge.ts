import type { Policy } from "../policy/policy.ts";
import { meets, type Assurance } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import type { Digest } from "../base/digest.ts";
import type { Consent } from "./consents.ts";
import type { DecisionRefusalCode, Proof } from "./entries.ts";
import { isInvolved } from "./people.ts";
import { clausesFor } from "./quorum.ts";
import type { Statement } from "./statement.ts";
import { statementSummary } from "./summary.ts";

// Judges one attested statement against one open question. Pure: everything it looks at is passed in.
//
//   C1. Self-approval is refused, admins included; C6 is the one exception and says so in the statement.
//   C2. The person must be eligible now.
//   C3. An approval below the required assurance is recorded and not counted; a deny needs only A1.
//   C4. A view that is not complete can only be denied.
//   C5. After the deadline nothing counts.

/** A person may answer this much ahead of our clock. */
const SKEW_MS = 5 * 60_000;

/** So many answers of one person to one question are recorded before a further approval is refused. */
const MOST_CHANGES = 20;

export type Judgement =
  /** Enters the quorum, settles by denying, or takes an approval back. */
  | { readonly result: "counts" }
  /** Worth a place in the log though it changes nothing. */
  | { readonly result: "recorded"; readonly code: DecisionRefusalCode }
  | { readonly result: "refused"; readonly code: DecisionRefusalCode };

/** What stands around a decision when it comes in. */
export interface Circumstances {
  readonly viewComplete: boolean;
  /** The deadline has passed, by either clock. */
  readonly isLate: boolean;
  /** Epoch milliseconds. */
  readonly now: number;
}

export interface Attested {
  readonly statement: Statement;
  readonly statementDigest: Digest;
  /** The person whose key, credential or session it is. */
  readonly person: PersonId;
  readonly assurance: Assurance;
  readonly proof: Proof;
}

export function judge(
  consent: Consent,
  attested: Attested,
  policy: Policy,
  { viewComplete, isLate, now }: Circumstances,
): Judgement {
  const { statement, person } = attested;
  const { question, requirement } = consent;
  if (statement.approver !== person) return refused("wrong_person");
  if (statement.question !== consent.digest) return refused("digest_mismatch");
  if (statement.summary !== statementSummary(question)) return refused("summary_mismatch");
  if (!(Date.parse(statement.issued_at) <= now + SKEW_MS)) return refused("clock_skew");
  if (consent.settled !== null && statement.decision !== "take_back") return refused("already_settled");
  if (isLate && statement.decision !== "take_back") return refused("expired");

  const involved = isInvolved(question.requester, person);
  const solo = involved && requirement.solo === person;
  if (statement.solo !== solo) return involved && !solo ? recorded("self_approval") : refused("not_solo");
  if (involved && !solo) return recorded("self_approval");
  if (statement.decision === "take_back") return judgeTakeBack(consent, attested);

  const eligibleFor = clausesFor(policy, consent, person, now);
  if (eligibleFor.length === 0) return recorded("not_eligible");
  if (consent.decisions.some((d) => d.takenBack && d.statementDigest === attested.statementDigest)) {
    return refused("taken_back");
  }
  if (statement.decision === "deny") return { result: "counts" };
  if (!viewComplete) return refused("partial_view");
  if (
    consent.decisions.some(
      (d) => d.person === person && d.decision === "approve" && d.counted && !d.takenBack,
    )
  ) {
    return refused("duplicate");
  }
  // C6: only the command line at a terminal asks for the passphrase. A key that an agent of the same person may reach
  // through ssh-agent, or a signature made elsewhere, proves nothing about who is there.
  if (solo && attested.proof.channel !== "cli" && !meets(attested.assurance, "A3")) {
    return recorded("assurance_too_low");
  }
  // Approving and taking back by turns would fill the log. A deny is always taken.
  if (consent.decisions.filter((d) => d.person === person).length >= MOST_CHANGES)
    return refused("duplicate");
  return eligibleFor.some((clause) =>
    meets(attested.assurance, requirement.clauses[clause]?.assurance ?? "A4"),
  )
    ? { result: "counts" }
    : recorded("assurance_too_low");
}

function judgeTakeBack(consent: Consent, { statement, person }: Attested): Judgement {
  const stands = consent.decisions.some(
    (d) =>
      d.person === person &&
      d.decision === "approve" &&
      d.counted &&
      !d.takenBack &&
      d.statementDigest === statement.takes_back,
  );
  if (!stands) return refused("nothing_to_take_back");
  return consent.settled === null ? { result: "counts" } : refused("already_settled");
}

const refused = (code: DecisionRefusalCode): Judgement => ({ result: "refused", code });
const recorded = (code: DecisionRefusalCode): Judgement => ({ result: "recorded", code });
