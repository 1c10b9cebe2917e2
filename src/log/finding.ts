// What a verifier found. The codes are a closed list: people filter by them, and docs/log-format.md explains each.

export const FINDINGS = {
  // the bytes
  changed: "a line is not what was written",
  dropped: "entries are missing",
  repeated: "an entry stands twice",
  reordered: "an entry stands in the wrong place",
  inserted: "a line that is no entry stands between entries",
  truncated: "the log ends before the size that was signed",
  torn: "the last line, or the last batch, was not written to its end",
  time_back: "an entry is dated before the one in front of it",
  root_mismatch: "the entries do not have the root that was signed",
  // the signature
  no_checkpoint: "nothing signed was given, so nothing is proved",
  checkpoint_invalid: "the checkpoint is malformed, or its signature does not verify",
  key_mismatch: "the log names another key than the one that is trusted",
  untrusted: "no trusted key was given: the log vouches for itself",
  inconsistent: "the log does not extend a checkpoint that was signed earlier",
  uncovered: "entries after the checkpoint are not signed yet",
  isolation_none: "the gateway ran as the agent's own account, which could have read the key",
  // entries and their order
  malformed_entry: "an entry does not hold what its kind must hold",
  unknown_kind: "an entry of a kind that this release does not know",
  out_of_order: "an entry of a request came where its kind can't come",
  policy_unknown: "an entry names a policy revision that was not adopted before it",
  requester_unresolved: "a request of somebody whom the policy did not know went further than a read may",
  grant_without_basis: "a grant rests on neither an allow verdict nor a met requirement",
  execution_without_grant: "an execution has no grant",
  grant_spent_twice: "a grant was dispatched twice, or again after its outcome",
  grant_expired: "a grant was spent after its time",
  dispatch_without_claim: "a dispatch was not claimed before",
  outcome_without_dispatch: "an outcome has no dispatch",
  lease_without_dispatch: "a lease belongs to no dispatched request",
  // decisions
  question_mismatch: "the recorded question is not the one that was decided on",
  requirement_mismatch: "the requirement is not the one that the question binds",
  statement_mismatch: "the statement is not the one that was recorded",
  summary_mismatch: "the statement's summary is not the one derived from the question",
  signature_invalid: "a decision's signature does not verify",
  wrong_signer: "the key belongs to another person than the decision says, or to nobody",
  assurance_overstated: "the proof shows less than the recorded assurance",
  self_approval: "a counted approval is by somebody who asked, or whose agent asked",
  not_eligible: "a counted decision is by somebody who was not asked at that moment",
  escalation_invalid: "an escalation is no step of the requirement that had come due",
  late_decision: "a decision was counted after the deadline",
  credential_unproved: "a passkey came to its person, or was used, without what that takes",
  adoption_unproved: "a policy came to run without what that takes",
  witness_mismatch: "an approver saw another log than this one",
  // receipts
  receipt_malformed: "the receipt can't be read",
  inclusion_invalid: "an entry of the receipt is not in the log that was signed",
  blob_mismatch: "a document in the receipt is not the one that an entry names",
  policy_unproved: "the receipt does not show the policy that ran, so whose key it was is not proved",
  incomplete: "the receipt lacks entries that it should hold",
} as const;

export type FindingCode = keyof typeof FINDINGS;

/** Where a line stands. */
export interface Place {
  /** Name of the segment file, or `store`. */
  readonly segment: string;
  /** From 1. */
  readonly line: number;
  /** Bytes from the start of the segment. */
  readonly offset: number;
}

export interface Finding {
  readonly code: FindingCode;
  /** A fault means that the log or receipt does not prove what it should; a notice is worth knowing. */
  readonly severity: "fault" | "notice";
  readonly message: string;
  /** Entry that it is about; null where it is about the whole. */
  readonly seq: number | null;
  readonly place: Place | null;
  /** Letter of the design's rule that was broken, e.g. `G3`; null where none has one. */
  readonly rule: string | null;
}

const NOTICES: ReadonlySet<FindingCode> = new Set([
  "torn",
  "uncovered",
  "isolation_none",
  "untrusted",
  "unknown_kind",
]);

/** A finding of its code's usual severity, with the code's own sentence unless a better one is given. */
export function finding(
  code: FindingCode,
  about: { message?: string; seq?: number | null; place?: Place | null; rule?: string } = {},
): Finding {
  return {
    code,
    severity: NOTICES.has(code) ? "notice" : "fault",
    message: about.message ?? FINDINGS[code],
    seq: about.seq ?? null,
    place: about.place ?? null,
    rule: about.rule ?? null,
  };
}
