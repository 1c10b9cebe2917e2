import type { Timestamp } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import type { GrantId } from "../base/id.ts";
import type { Assurance, Requirement } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import type { CredentialStatement } from "./credential-statement.ts";
import type { Question } from "./question.ts";
import type { Statement } from "./statement.ts";

/** How a statement is proved. Kept whole, so that it verifies offline. */
export type Proof = SshProof | WebauthnProof | SessionProof;

/** An SSHSIG over the statement's bytes, PEM-armoured, as ssh-keygen writes it. */
export interface SshProof {
  readonly kind: "sshsig";
  readonly signature: string;
  readonly fingerprint: string;
  readonly channel: "cli" | "api";
}

/** A WebAuthn assertion whose challenge is the SHA-256 of the statement's bytes (WebAuthn L3 §7.2). All base64url. */
export interface WebauthnProof {
  readonly kind: "webauthn";
  /** Credential id, as enrolled. */
  readonly credential: string;
  readonly authenticator_data: string;
  readonly client_data: string;
  readonly signature: string;
  readonly channel: "console" | "api";
}

/**
 * No signature of the person: the gateway says that a session of that person made the statement. What vouches for it is
 * the entry itself, under the log's checkpoint; receipts say so. Made by the gateway only, never read from a body.
 */
export interface SessionProof {
  readonly kind: "session";
  readonly method: "passkey" | "oidc";
  readonly signed_in_at: Timestamp;
  /** `issuer subject` of the identity provider, or the credential id that signed in. */
  readonly subject: string;
  readonly channel: "console" | "api";
}

/** No signature either: the command line at the gateway says which OS account it ran as. Good for questions only. */
export interface AccountProof {
  readonly kind: "account";
  /** `uid@host`. */
  readonly account: string;
  readonly channel: "cli";
}

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
    /**
     * Positions of the clauses that the person could serve when they decided. Absent where membership alone says so:
     * the requirement doesn't escalate and asks no group on call.
     */
    readonly clauses?: readonly number[];
    readonly proof: Proof;
  };
  "consent.settled": {
    readonly outcome: "granted" | "denied";
    readonly by: readonly PersonId[];
    /** The denying person's words. */
    readonly reason: string | null;
    readonly solo: boolean;
    /** Of a deny: the agent may correct the call and ask again. Absent: the deny is final. */
    readonly fixable?: true;
  };
  /** Groups that are asked besides from now on; what they may decide is in the requirement that was asked. */
  "consent.escalated": {
    readonly question: Digest;
    /** Positions in the requirement: which clause, which of its steps. */
    readonly steps: readonly { readonly clause: number; readonly step: number }[];
    readonly to: readonly string[];
  };
  /** People who are asked and have not answered were told again. */
  "consent.reminded": { readonly question: Digest; readonly people: readonly PersonId[] };
  /** A person asks the agent something before deciding. Outside the question: nobody signs it. */
  "inquiry.made": {
    readonly question: Digest;
    readonly inquiry: string;
    readonly person: PersonId;
    readonly text: string;
    readonly proof: SessionProof | AccountProof;
  };
  /** What the agent says to it: a claim, unverified, shown boxed (P3). */
  "inquiry.answered": { readonly inquiry: string; readonly text: string; readonly agent: string };
  "grant.minted": {
    readonly grant: GrantId;
    readonly basis: "verdict" | "consent";
    readonly question: Digest | null;
    readonly plan: Digest;
    readonly execute_by: Timestamp;
  };
}

/** Entries whose subject is `credential:<id>`, or `person:<id>` before there is one. Durable before use. */
export interface CredentialEntries {
  /** One more statement towards an invitation or a removal that needs several people (P6). */
  "credential.endorsed": { readonly statement: CredentialStatement; readonly proof: Proof };
  /** A one-time code was made with which a person may enrol. Only its digest stands here. */
  "credential.invited": {
    readonly person: PersonId;
    readonly code_digest: Digest;
    readonly expires_at: Timestamp;
    /** What vouches for it: what `policy_change` of the running policy demands, or the files where it says on_save. */
    readonly mode: "signed" | "on_save";
    readonly statements: readonly { readonly statement: CredentialStatement; readonly proof: Proof }[];
  };
  "credential.enrolled": {
    readonly credential: string;
    readonly person: PersonId;
    /** As the person named it: `phone`. */
    readonly label: string;
    /** SubjectPublicKeyInfo, base64. */
    readonly public_key: string;
    /** COSE algorithm identifier. */
    readonly algorithm: number;
    readonly rp_id: string;
    readonly aaguid: string;
    readonly backup_eligible: boolean;
    /** From then on it counts for A3; before it, for A2. */
    readonly counts_from: Timestamp;
    readonly by:
      | { readonly kind: "invitation"; readonly code_digest: Digest }
      | { readonly kind: "credential"; readonly statement: CredentialStatement; readonly proof: Proof };
  };
  "credential.removed": {
    readonly credential: string;
    readonly person: PersonId;
    readonly why: string;
    readonly statements: readonly { readonly statement: CredentialStatement; readonly proof: Proof }[];
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
  too_many_inquiries: "this person has asked the agent as often as one may about one request",
  nothing_to_take_back: "no counted approval of this person stands",
} as const;
export type DecisionRefusalCode = keyof typeof DECISION_REFUSALS;
