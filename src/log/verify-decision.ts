import { digestJson, requestCode } from "../base/digest.ts";
import { parseTimestamp } from "../base/clock.ts";
import type { ConsentEntries } from "../consent/entries.ts";
import { questionDigest } from "../consent/question.ts";
import { SSHSIG_NAMESPACE, statementBytes, statementDigest } from "../consent/statement.ts";
import { statementSummary } from "../consent/summary.ts";
import { meets } from "../policy/verdict.ts";
import type { FindingCode } from "./finding.ts";
import { fromHex, type TreeHash } from "./merkle.ts";
import type { PolicyPeople } from "./policy-document.ts";
import {
  checkProof,
  CLOCK_SLACK_MS,
  type KnownCredential,
  type ProofFacts,
  type Report,
} from "./verify-proof.ts";

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
export type DecisionFacts = ProofFacts;

export { CLOCK_SLACK_MS } from "./verify-proof.ts";

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
  /** Passkeys that entries before enrolled. */
  readonly credentialOf: (id: string) => KnownCredential | null;
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

  const { facts, shows } = checkProof(
    {
      bytes: statementBytes(statement),
      namespace: SSHSIG_NAMESPACE,
      proof: recorded.proof,
      person: recorded.person,
      at: parts.at,
      people,
      credentialOf: parts.credentialOf,
    },
    problem,
  );
  if (shows !== null && !meets(shows, recorded.assurance)) {
    problem("assurance_overstated", `${recorded.assurance} was recorded, and ${shows} is shown`, "C3");
  }
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
