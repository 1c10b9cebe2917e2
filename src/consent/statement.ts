import { taggedBytes } from "../base/canonical-json.ts";
import type { Timestamp } from "../base/clock.ts";
import { digestBytes, type Digest } from "../base/digest.ts";
import type { PersonId } from "../request/principal.ts";

/** Exactly what a person's key signs. */
export interface Statement {
  readonly typ: "countersign.decision";
  readonly v: 1;
  /** `take_back` names the approval it undoes in `takes_back`; the same approval never counts again. */
  readonly decision: "approve" | "deny" | "take_back";
  readonly question: Digest;
  /** Derived from the question and view by `statementSummary`; verification derives it again. */
  readonly summary: string;
  readonly approver: PersonId;
  readonly solo: boolean;
  readonly reason: string | null;
  /** Of a deny: the agent may correct the call and ask again. Absent: the deny is final. */
  readonly fixable?: true;
  /** Digest of the approval statement that is taken back; null otherwise. */
  readonly takes_back: Digest | null;
  /** Checkpoint that this person's own device checked for consistency; null if none did. */
  readonly log: { readonly size: number; readonly root: Digest } | null;
  readonly issued_at: Timestamp;
}

/** SSHSIG namespace: a git or file signature can never count as a decision. */
export const SSHSIG_NAMESPACE = "decision@countersign.dev";

/** The bytes to sign: `countersign.decision.v1\n` and the RFC 8785 text. */
export const statementBytes = (statement: Statement): Uint8Array =>
  taggedBytes("countersign.decision.v1", statement);

/** Digest of the signed bytes: what a take-back names. */
export const statementDigest = (statement: Statement): Digest =>
  digestBytes("statement", statementBytes(statement));
