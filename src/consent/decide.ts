import { err, ok, type Result } from "../base/result.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { Policy } from "../policy/policy.ts";
import type { Batch } from "../store/store.ts";
import { keysAfter } from "../request/recognition.ts";
import type { Consent, DecisionRecord } from "./consents.ts";
import { expectsOf, passkeyOf } from "./credentials.ts";
import type { DeskParts } from "./create-desk.ts";
import type { DecisionAnswer, DecisionRefusal, Desk } from "./desk.ts";
import { DECISION_REFUSALS, type DecisionRefusalCode, type Proof } from "./entries.ts";
import { mintGrant } from "./grant.ts";
import { judge, type Attested } from "./judge.ts";
import { isInvolved } from "./people.ts";
import { askedOf, clausesFor, movesInTime, quorumOf, type Asked } from "./quorum.ts";
import { SSHSIG_NAMESPACE, statementBytes, statementDigest, type Statement } from "./statement.ts";

// Takes a signed statement: verify, judge, append, answer.
//
//   G2. A grant is minted here only when every clause of the requirement is met over one question digest.
//   L1. Decision, settlement and grant are one durable batch before the decider is answered.
//   Two deciders at once: the batch expects the request's newest entry, so one of them folds again and decides again.

/** What a counted decision brings about. */
type Fate = "granted" | "denied" | "noted";

export function createDecide(parts: DeskParts): Desk["decide"] {
  return async (statement, proof) => {
    for (;;) {
      await parts.catchUp();
      const attempt = await prepare(parts, statement, proof);
      if (!attempt.ok) return err(attempt.error);
      const { consent, attested, whyNot, fate, expect, entries } = attempt.value;
      const appended = await parts.append({ expect, newKeys: [], entries });
      if (appended.ok) return answerOf(parts.policy(), consent, attested, whyNot, fate, entries);
    }
  };
}

interface Attempt {
  readonly consent: Consent;
  readonly attested: Attested;
  readonly whyNot: DecisionRefusalCode | null;
  readonly fate: Fate;
  /** What was judged: if any of it moved, it is judged again. */
  readonly expect: Batch["expect"];
  readonly entries: readonly EntryDraft[];
}

async function prepare(
  parts: DeskParts,
  statement: Statement,
  proof: Proof,
): Promise<Result<Attempt, DecisionRefusal>> {
  const request = parts.state.consents.byDigest.get(statement.question);
  const consent = request === undefined ? undefined : parts.state.consents.byRequest.get(request);
  const record = request === undefined ? undefined : parts.state.requests.open.get(request);
  if (consent === undefined || record === undefined) return refusal("already_settled");
  // Only an approval rests on what was shown: a deny counts also where the document is lost.
  const isComplete = statement.decision !== "approve" || (await parts.view(consent.request)).preview.complete;

  // No await from here on: what is judged is what the batch expects.
  const policy = parts.policy();
  const expect = [
    { subject: consent.request, newest: record.newestSeq },
    { subject: "policy", newest: parts.policySeq() },
    ...expectsOf(parts.state.credentials, proof),
  ];
  const attested = attest(parts, policy, statement, proof);
  if (!attested.ok) return refusal(attested.error);
  const now = parts.clock.now();
  const isLate = parts.isPastDeadline(consent);
  const judgement = judge(consent, attested.value, policy, { viewComplete: isComplete, isLate, now });
  if (judgement.result === "refused") return refusal(judgement.code);
  const whyNot = judgement.result === "recorded" ? judgement.code : null;
  if (whyNot !== null && isNoted(consent, attested.value, whyNot)) return refusal(whyNot);

  const clauses = movesInTime(policy, consent.requirement)
    ? clausesFor(policy, consent, attested.value.person, now)
    : null;
  const fate = whyNot === null ? fateOf(policy, consent, attested.value, clauses) : "noted";
  if (fate === "granted" && parts.clockIsBehind()) return refusal("clock_behind");
  const entries: EntryDraft[] = [
    {
      kind: "decision.recorded",
      subject: consent.request,
      policy: policy.revision,
      data: {
        question: consent.digest,
        statement,
        statement_digest: attested.value.statementDigest,
        person: attested.value.person,
        assurance: attested.value.assurance,
        counted: whyNot === null,
        why_not: whyNot,
        ...(clauses === null ? {} : { clauses }),
        proof: attested.value.proof,
      },
    },
  ];
  if (fate !== "noted") {
    const approvers = quorumOf(policy, withDecision(consent, attested.value, clauses)).clauses.flatMap(
      (clause) => clause.by,
    );
    entries.push({
      kind: "consent.settled",
      subject: consent.request,
      policy: policy.revision,
      ...(fate === "denied"
        ? { keys: keysAfter(record.keys, "denied", statement.fixable !== true, now) }
        : {}),
      data: {
        outcome: fate,
        by: fate === "denied" ? [attested.value.person] : [...new Set(approvers)].sort(),
        reason: fate === "denied" ? statement.reason : null,
        solo: statement.solo || restsOnSolo(consent),
        ...(fate === "denied" && statement.fixable === true ? { fixable: true as const } : {}),
      },
    });
  }
  if (fate === "granted") {
    entries.push(
      mintGrant({
        request: consent.request,
        policy: policy.revision,
        basis: { kind: "consent", question: consent.digest },
        plan: consent.question.plan,
        executeWithinMs: consent.requirement.executeWithinMs,
        expiresAt: record.planned?.expires_at ?? null,
        now,
      }),
    );
  }
  return ok({ consent, attested: attested.value, whyNot, fate, expect, entries });
}

/** An approval that stands is of the person of `solo:` on their own request; elsewhere they are one approver of many. */
const restsOnSolo = ({ decisions, requirement, question }: Consent): boolean =>
  decisions.some(
    (d) =>
      d.decision === "approve" &&
      d.counted &&
      !d.takenBack &&
      d.person === requirement.solo &&
      isInvolved(question.requester, d.person),
  );

function attest(
  parts: DeskParts,
  policy: Policy,
  statement: Statement,
  proof: Proof,
): Result<Attested, DecisionRefusalCode> {
  const signed = {
    bytes: statementBytes(statement),
    namespace: SSHSIG_NAMESPACE,
    approver: statement.approver,
  };
  const attestation = parts.attest(policy, signed, proof);
  if (!attestation.ok) return attestation;
  return ok({ ...attestation.value, statement, statementDigest: statementDigest(statement) });
}

function fateOf(
  policy: Policy,
  consent: Consent,
  attested: Attested,
  clauses: readonly number[] | null,
): Fate {
  if (attested.statement.decision === "deny") return "denied";
  if (attested.statement.decision === "take_back") return "noted";
  return quorumOf(policy, withDecision(consent, attested, clauses)).met ? "granted" : "noted";
}

/** The question as it will stand with this decision. */
const withDecision = (consent: Consent, attested: Attested, clauses: readonly number[] | null): Asked => ({
  ...askedOf(consent),
  decisions: [...consent.decisions, asRecord(attested, clauses)],
});

const asRecord = (attested: Attested, clauses: readonly number[] | null): DecisionRecord => ({
  person: attested.person,
  decision: attested.statement.decision,
  statementDigest: attested.statementDigest,
  assurance: attested.assurance,
  counted: true,
  whyNot: null,
  reason: null,
  clauses,
  at: "",
  takenBack: false,
  credential: passkeyOf(attested.proof),
});

/** One note per person and reason is enough; without this a person could fill the log with refused tries. */
const isNoted = (consent: Consent, attested: Attested, code: DecisionRefusalCode): boolean =>
  consent.decisions.some((d) => d.person === attested.person && d.whyNot === code);

function answerOf(
  policy: Policy,
  consent: Consent,
  attested: Attested,
  whyNot: DecisionRefusalCode | null,
  fate: Fate,
  entries: readonly EntryDraft[],
): Result<DecisionAnswer, DecisionRefusal> {
  if (whyNot === "self_approval" || whyNot === "not_eligible") return refusal(whyNot);
  if (fate === "denied") return ok({ state: "denied" });
  const grant = entries.find((entry) => entry.kind === "grant.minted");
  if (grant !== undefined) {
    return ok({ state: "granted", solo: attested.statement.solo, executeBy: grant.data.execute_by });
  }
  const quorum = quorumOf(policy, consent);
  if (whyNot !== null) return ok({ state: "not_counted", code: whyNot, quorum });
  return ok({ state: attested.statement.decision === "take_back" ? "taken_back" : "recorded", quorum });
}

/** A refusal in the words of the catalogue. */
export const refusal = (code: DecisionRefusalCode): { readonly ok: false; readonly error: DecisionRefusal } =>
  err({ code, message: DECISION_REFUSALS[code] });
