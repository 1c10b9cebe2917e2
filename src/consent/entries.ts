import type { Timestamp } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import type { GrantId } from "../base/id.ts";
import type { Assurance, Requirement } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import type { Question } from "./question.ts";
import type { Statement } from "./statement.ts";

/** How a decision is proved. Kept whole, so that it verifies offline. */
export type Proof =
  /** An SSHSIG over `statementBytes`, PEM-armoured, as ssh-keygen writes it. */
  {
    readonly kind: "sshsig";
    readonly signature: string;
    readonly fingerprint: string;
    readonly channel: "cli" | "api";
  };

/** Entries whose subject is a request, from asking people to the grant. */
export interface ConsentEntries {
  "consent.asked": {
    readonly question: Question;
    readonly digest: Digest;
    readonly code: string;
    readonly requirement: Requirement;
  };
  "decision.recorded": {
    readonly question: Digest;
    readonly statement: Statement;
    readonly statement_digest: Digest;
    readonly person: PersonId;
    readonly assurance: Assurance;
    /** Whether it entered the quorum; if not, why. */
    readonly counted: boolean;
    readonly why_not: DecisionRefusalCode | null;
    readonly proof: Proof;
  };
  "consent.settled": {
    readonly outcome: "granted" | "denied";
    readonly by: readonly PersonId[];
    /** The denying person's words. */
    readonly reason: string | null;
    readonly solo: boolean;
  };
  "grant.minted": {
    readonly grant: GrantId;
    readonly basis: "verdict" | "consent";
    readonly question: Digest | null;
    readonly plan: Digest;
    readonly execute_by: Timestamp;
  };
}

/** Why a decision was not counted, or not accepted at all. docs/errors.md has one heading each. */
export const DECISION_REFUSALS = {
  unknown_signer: "the key belongs to nobody in the adopted policy",
  not_eligible: "this person is in none of the groups that are asked",
  self_approval: "the requester, a person in its chain, or an owner of the agent may not decide",
  assurance_too_low: "the proof is weaker than the policy demands",
  digest_mismatch: "the statement is about another question",
  summary_mismatch: "the statement's summary is not the one derived from the question",
  wrong_person: "the statement names another person than the key",
  expired: "the deadline has passed",
  already_settled: "the request is settled",
  duplicate: "this person has decided already",
  partial_view: "the view was not complete; it can only be denied",
  taken_back: "this approval was taken back",
  not_solo: "the statement says solo and the policy does not, or the reverse",
  clock_skew: "the statement is dated in the future",
  clock_behind: "the gateway's clock is behind its own log; nothing is granted until it is corrected",
  nothing_to_take_back: "no counted approval of this person stands",
} as const;
export type DecisionRefusalCode = keyof typeof DECISION_REFUSALS;
