import type { Digest } from "../base/digest.ts";
import type { RequestId } from "../base/id.ts";
import type { Result } from "../base/result.ts";
import type { Clause, Requirement } from "../policy/verdict.ts";
import type { View } from "../preview/view.ts";
import type { PersonId } from "../request/principal.ts";
import type { DecisionRefusalCode, Proof } from "./entries.ts";
import type { Question } from "./question.ts";
import type { Statement } from "./statement.ts";

/** A question that waits for people, as inbox lines need it. */
export interface PendingQuestion {
  readonly request: RequestId;
  readonly code: string;
  readonly digest: Digest;
  readonly question: Question;
  readonly requirement: Requirement;
  readonly summary: string;
  /** Epoch milliseconds. */
  readonly deadline: number;
  readonly quorum: Quorum;
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
  }[];
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
    },
  ): Promise<Statement>;
  /** Takes a signed statement. Refusals are values; an accepted answer is durable. */
  decide(statement: Statement, proof: Proof): Promise<Result<DecisionAnswer, DecisionRefusal>>;
}
