import { digestJson, requestCode } from "../base/digest.ts";
import { parseTimestamp } from "../base/clock.ts";
import { verifySshSignature, type SkFacts } from "../base/sshsig.ts";
import type { ConsentEntries } from "../consent/entries.ts";
import { questionDigest } from "../consent/question.ts";
import { SSHSIG_NAMESPACE, statementBytes, statementDigest } from "../consent/statement.ts";
import { statementSummary } from "../consent/summary.ts";
import { meets } from "../policy/verdict.ts";
import type { FindingCode } from "./finding.ts";
import { fromHex, type TreeHash } from "./merkle.ts";
import type { PolicyPeople } from "./policy-document.ts";

// Checks one recorded decision against the question that was asked, from nothing but the two entries.
// Everything here may have been written by whoever made the log: nothing is believed that is not hashed or signed.

type Asked = ConsentEntries["consent.asked"];
type Recorded = ConsentEntries["decision.recorded"];

export interface Problem {
  readonly code: FindingCode;
  readonly message: string;
  readonly rule?: string;
}

/** What the proof of a decision shows. */
export interface DecisionFacts {
  /** Null where the signature does not verify. */
  readonly fingerprint: string | null;
  readonly keyType: string | null;
  readonly sk: SkFacts | null;
}

/** Clocks of gateway and log are not the same to the millisecond. */
export const CLOCK_SLACK_MS = 5_000;

/** Whether the question and requirement of an entry hang together (D1). */
export function checkAsked(asked: Asked, request: string): readonly Problem[] {
  const problems: Problem[] = [];
  const digest = questionDigest(asked.question);
  if (digest !== asked.digest)
    problems.push({ code: "question_mismatch", message: `the question hashes to ${digest}` });
  if (asked.code !== requestCode(digest)) {
    problems.push({
      code: "question_mismatch",
      message: `the code of the question is ${requestCode(digest)}`,
    });
  }
  if (asked.question.request !== request || asked.question.typ !== "countersign.question") {
    problems.push({ code: "question_mismatch", message: `the question is about ${asked.question.request}` });
  }
  const requirement = digestJson("requirement", asked.requirement);
  if (requirement !== asked.question.requirement) {
    problems.push({ code: "requirement_mismatch", message: `the requirement hashes to ${requirement}` });
  }
  return problems;
}

/**
 * What is wrong with a recorded decision. `at` is the entry's time in epoch milliseconds; `people` are those of the
 * policy that the entry names, where it is at hand; `rootAt` gives the root of an earlier size.
 */
export function checkDecision(parts: {
  readonly asked: Asked;
  readonly recorded: Recorded;
  readonly at: number;
  readonly people: PolicyPeople | null;
  readonly rootAt: ((size: number) => TreeHash | null) | null;
}): { readonly problems: readonly Problem[]; readonly facts: DecisionFacts } {
  const { asked, recorded, people } = parts;
  const { statement } = recorded;
  const problems: Problem[] = [];
  const problem = (code: FindingCode, message: string, rule?: string): void => {
    problems.push(rule === undefined ? { code, message } : { code, message, rule });
  };

  if (statement.typ !== "countersign.decision" || statement.v !== 1) {
    problem("statement_mismatch", "the statement is of another type or version");
  }
  if (statement.question !== asked.digest || recorded.question !== asked.digest) {
    problem("question_mismatch", "the statement is about another question", "D1");
  }
  if (statementDigest(statement) !== recorded.statement_digest) {
    problem("statement_mismatch", `the statement hashes to ${statementDigest(statement)}`);
  }
  if (statement.summary !== statementSummary(asked.question)) {
    problem("summary_mismatch", `the question's summary is "${statementSummary(asked.question)}"`);
  }
  if (statement.approver !== recorded.person) {
    problem("wrong_signer", `the statement names ${statement.approver}, the entry ${recorded.person}`);
  }

  const facts = checkSignature(recorded, problem);
  const owner = facts.fingerprint === null || people === null ? null : people.ownerOf(facts.fingerprint);
  if (facts.fingerprint !== null && people !== null && owner?.person !== recorded.person) {
    const whose = owner === null ? "nobody" : owner.person;
    problem("wrong_signer", `the key ${facts.fingerprint} belongs to ${whose}, not to ${recorded.person}`);
  }
  checkAssurance(recorded, facts, owner?.userVerified ?? null, problem);
  if (recorded.counted) {
    checkMayCount(asked, recorded, problem);
    if (
      statement.decision !== "take_back" &&
      parts.at > parseTimestamp(asked.question.deadline) + CLOCK_SLACK_MS
    ) {
      problem("late_decision", `the deadline was ${asked.question.deadline}`, "C5");
    }
  }
  if (statement.log !== null && parts.rootAt !== null) {
    const root = parts.rootAt(statement.log.size);
    if (root === null || root !== fromHex(statement.log.root.slice("sha256:".length))) {
      problem("witness_mismatch", `${recorded.person} saw another log of ${statement.log.size} entries`);
    }
  }
  return { problems, facts };
}

type Report = (code: FindingCode, message: string, rule?: string) => void;

function checkSignature({ statement, proof }: Recorded, problem: Report): DecisionFacts {
  const none = { fingerprint: null, keyType: null, sk: null };
  if (proof.kind !== "sshsig") {
    problem("signature_invalid", `a proof of kind "${String(proof.kind)}" is not known to this release`);
    return none;
  }
  const checked = verifySshSignature({
    armoured: proof.signature,
    message: statementBytes(statement),
    namespace: SSHSIG_NAMESPACE,
  });
  if (!checked.ok) {
    problem("signature_invalid", checked.error.message);
    return none;
  }
  const { fingerprint, keyType, sk } = checked.value;
  if (proof.fingerprint !== fingerprint)
    problem("wrong_signer", `${fingerprint} signed, not ${proof.fingerprint}`);
  return { fingerprint, keyType, sk };
}

/** An SSH signature shows A2; A3 takes an `sk-` key that was enrolled as verifying its user, and its flags (C3). */
function checkAssurance(
  { assurance }: Recorded,
  { fingerprint, sk }: DecisionFacts,
  enrolled: boolean | null,
  problem: Report,
): void {
  if (fingerprint === null || assurance <= "A2") return;
  const flags = sk !== null && sk.userPresent && sk.userVerified;
  if (assurance > "A3" || !flags || enrolled === false) {
    const why =
      flags && assurance === "A3" ? "the key was not enrolled as one that verifies its user" : "A2 is proved";
    problem("assurance_overstated", `${assurance} was recorded: ${why}`, "C3");
  }
}

/** Who asked may not decide, but for the person of `solo:`, and then the statement says so (C1, C6). */
function checkMayCount(
  { question, requirement }: Asked,
  { person, statement, assurance, proof }: Recorded,
  problem: Report,
): void {
  const { principal, owners, chain } = question.requester;
  const involved =
    (principal.kind === "person" && principal.id === person) ||
    owners.includes(person) ||
    chain.includes(person);
  const solo = involved && requirement.solo === person;
  if (involved && !solo)
    problem("self_approval", `${person} asked for this, or owns the agent that did`, "C1");
  // A software key that signs alone is asked for its passphrase by the command line; nothing else does that.
  if (solo && statement.decision === "approve" && proof.channel !== "cli" && !meets(assurance, "A3")) {
    problem("self_approval", `${person} approved alone over ${proof.channel} with ${assurance}`, "C6");
  }
  if (statement.solo !== solo) {
    problem(
      "self_approval",
      `the statement says solo ${String(statement.solo)}, the requirement ${String(solo)}`,
      "C6",
    );
  }
}
