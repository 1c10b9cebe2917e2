import type { Digest } from "../base/digest.ts";
import type { RequestId } from "../base/id.ts";
import type { Result } from "../base/result.ts";
import type { Clause, Requirement } from "../policy/verdict.ts";
import type { View } from "../preview/view.ts";
import type { PersonId, Requester } from "../request/principal.ts";
import type { Phase } from "../request/summary.ts";
import type { EscalatedStep, Inquiry } from "./consents.ts";
import type { AccountProof, ConsentEntries, DecisionRefusalCode, Proof, SessionProof } from "./entries.ts";
import type { Question } from "./question.ts";
import type { Statement } from "./statement.ts";

/** A question that waits for people, as inbox lines need it. */
export interface PendingQuestion {
  readonly request: RequestId;
  readonly code: string;
  readonly digest: Digest;
  readonly question: Question;
  readonly requirement: Requirement;
  /** That of the question. */
  readonly requester: Requester;
  readonly summary: string;
  /** Epoch milliseconds. */
  readonly deadline: number;
  readonly quorum: Quorum;
  /** By clause: whose approval would count if it were made now. Those who have approved already included. */
  readonly eligible: readonly (readonly PersonId[])[];
}

/** How far each clause is. */
export interface Quorum {
  readonly clauses: readonly {
    readonly clause: Clause;
    readonly by: readonly PersonId[];
    readonly missing: number;
  }[];
  readonly met: boolean;
}

/** The whole of what an approver is shown. */
export interface OpenQuestion extends PendingQuestion {
  readonly view: View;
  readonly decisions: readonly {
    readonly person: PersonId;
    readonly decision: Statement["decision"];
    readonly counted: boolean;
    readonly whyNot: DecisionRefusalCode | null;
    readonly reason: string | null;
    readonly at: string;
    /** Of an approval that its person undid; it counts no more, and never again. */
    readonly takenBack: boolean;
  }[];
  /** `held` while it waits; what follows the grant until the request closes. */
  readonly phase: Phase;
  readonly settled: ConsentEntries["consent.settled"] | null;
  /** Every step of every clause, by time. `at` is when it came; null: it has not, or was not needed. */
  readonly escalations: readonly (Omit<EscalatedStep, "at"> & {
    readonly to: readonly string[];
    /** Epoch milliseconds. */
    readonly dueAt: number;
    readonly at: string | null;
  })[];
  /** Null where nobody is reminded. */
  readonly reminders: {
    readonly everyMs: number;
    readonly count: number;
    readonly last: { readonly at: string; readonly people: readonly PersonId[] } | null;
  } | null;
  /** The groups on call that are asked, or may be later: whose turn it is, and until when (epoch milliseconds). */
  readonly onCall: readonly {
    readonly group: string;
    readonly person: PersonId | null;
    readonly until: number;
  }[];
  /** What people asked the agent, and what it says: claims, unverified. */
  readonly inquiries: readonly Readonly<Inquiry>[];
}

/** A person's question to the agent. A session's or an account's word is enough: it moves nothing. */
export interface NewInquiry {
  readonly person: PersonId;
  readonly text: string;
  readonly proof: SessionProof | AccountProof;
}

export type DecisionAnswer =
  | { readonly state: "recorded"; readonly quorum: Quorum }
  | { readonly state: "not_counted"; readonly code: DecisionRefusalCode; readonly quorum: Quorum }
  | { readonly state: "granted"; readonly solo: boolean; readonly executeBy: string }
  | { readonly state: "denied" }
  | { readonly state: "taken_back"; readonly quorum: Quorum };

export interface DecisionRefusal {
  readonly code: DecisionRefusalCode;
  readonly message: string;
}

/** The one door for decisions. A channel authenticates and translates; the desk decides what counts. */
export interface Desk {
  /** Open questions, nearest deadline first. */
  pending(): readonly PendingQuestion[];
  /**
   * By request id or by code.
   * @throws CountersignError `REQUEST_NOT_FOUND`, `REQUEST_AMBIGUOUS`
   */
  find(reference: string): PendingQuestion;
  open(request: RequestId): Promise<OpenQuestion>;
  /** The statement that `person` would sign: everything but the signature. */
  draft(
    request: RequestId,
    choice: {
      readonly decision: Statement["decision"];
      readonly person: PersonId;
      readonly reason: string | null;
      readonly log: Statement["log"];
      /** Of a deny: the agent may correct the call and ask again. */
      readonly fixable?: boolean;
    },
  ): Promise<Statement>;
  /** Takes a signed statement. Refusals are values; an accepted answer is durable. */
  decide(statement: Statement, proof: Proof): Promise<Result<DecisionAnswer, DecisionRefusal>>;
  /**
   * Asks the agent something; it is told when it next looks, or at once while it waits.
   * @throws CountersignError `REQUEST_NOT_FOUND`, `DECISION_REFUSED` where the text is empty or too long
   */
  inquire(
    request: RequestId,
    inquiry: NewInquiry,
  ): Promise<Result<{ readonly inquiry: string }, DecisionRefusal>>;
}
