import type { PersonId } from "../request/principal.ts";

export type VerdictKind = "allow" | "deny" | "hold";

/** What the proof of a decision shows. A4 is a load error until device attestation exists. */
export type Assurance = "A0" | "A1" | "A2" | "A3" | "A4";
export const ASSURANCES = ["A0", "A1", "A2", "A3", "A4"] as const satisfies readonly Assurance[];

/** True where `given` is at least `needed`. */
export const meets = (given: Assurance, needed: Assurance): boolean => given >= needed;

/** So many distinct people of these groups (their union) with that proof. */
export interface Clause {
  readonly from: readonly string[];
  readonly count: number;
  readonly assurance: Assurance;
  /** Who may answer besides once nobody has for so long (C5: never fewer people, never a weaker proof). */
  readonly escalate?: readonly { readonly afterMs: number; readonly to: readonly string[] }[];
}

export type ExecuteWhen = "on_approval" | "when_attached";

/** What the policy demands of one request. Its digest is bound by the question, so it holds nothing that other edits move. */
export interface Requirement {
  readonly clauses: readonly Clause[];
  /** Milliseconds from asking to the deadline. */
  readonly withinMs: number;
  /** Milliseconds a grant lives. */
  readonly executeWithinMs: number;
  readonly execute: ExecuteWhen;
  /** Names of mask sets, sorted. */
  readonly masks: readonly string[];
  /** The person of `solo:` where C6 applies to this request, else null. */
  readonly solo: PersonId | null;
  /** Digest of the registration (service, upstream, connection) the request would run on; null where it has none. */
  readonly registration: string | null;
  /** Milliseconds between reminders to those who are asked and have not answered; absent: none. */
  readonly remindMs?: number;
}

export interface RuleMatch {
  readonly id: string;
  readonly verdict: VerdictKind;
  readonly because: string | null;
  /** Set where the rule matched because its condition could not be evaluated (fails closed). */
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly line: number;
    readonly column: number;
  } | null;
}
