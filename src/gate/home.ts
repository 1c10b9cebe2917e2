import type { Logger } from "pino";
import type { RequestId } from "../base/id.ts";
import type { Digest } from "../base/digest.ts";
import type { Settings } from "../config/settings.ts";
import type { Result } from "../base/result.ts";
import type { DecisionRefusal, Desk } from "../consent/desk.ts";
import type { Proof } from "../consent/entries.ts";
import type { SettlementStatement } from "../execution/settlement.ts";
import type { Entry } from "../log/entry.ts";
import type { AdoptionStatement } from "../policy/entries.ts";
import type { Policy } from "../policy/policy.ts";
import type { PersonId } from "../request/principal.ts";
import type { RequestSummary } from "../request/summary.ts";
import type { Store } from "../store/store.ts";
import type { Tool } from "../tool.ts";
import type { Gate, Reply } from "./reply.ts";

/** An opened home: what transports, console and command line are given. Made by compose.ts. */
export interface Home {
  readonly settings: Settings;
  readonly log: Logger;
  readonly store: Store;
  readonly tools: readonly Tool[];
  readonly gate: Gate;
  readonly desk: Desk;
  readonly requests: RequestReader;
  readonly adoption: Adoption;
  /**
   * Becomes the steward of the home if nobody is: delivers asks, fires deadlines, executes grants of detached
   * requests, recovers, writes snapshots. False where another process is it.
   */
  startSteward(): Promise<boolean>;
  /**
   * The statement that `person` would sign about an unknown outcome. The words come back masked.
   * @throws CountersignError `REQUEST_NOT_FOUND`, `DECISION_REFUSED`
   */
  draftSettlement(request: RequestId, choice: SettlementChoice): Promise<SettlementStatement>;
  /**
   * A person settles an unknown outcome under their proof, A2 or better: somebody who could decide on the request, or
   * of `policy_change` where it needed nobody.
   * @throws CountersignError `DECISION_REFUSED`, `SIGNATURE_INVALID`, `BLOB_MISSING` where it can't be asked for again
   */
  settle(statement: SettlementStatement, proof: Proof): Promise<Result<Settled, DecisionRefusal>>;
  /** Settles an unknown outcome on the word of the gateway's own account, unsigned; the entry shows that nobody signed. */
  resolveUnknown(
    request: RequestId,
    outcome: "done" | "failed",
    person: string,
    message: string,
  ): Promise<void>;
  close(): Promise<void>;
}

/** What a person found who looked. */
export interface SettlementChoice {
  readonly outcome: "done" | "failed";
  /** With `failed`: ask for it again, as a new request that goes the whole way. */
  readonly again?: boolean;
  readonly person: PersonId;
  readonly message: string;
}

export interface Settled {
  readonly outcome: "done" | "failed";
  /** Where the new request stands. Null: none was wanted, or the steward of another process asks for it. */
  readonly again: Reply | null;
}

export interface RequestReader {
  /** Newest first. */
  list(limit: number): readonly RequestSummary[];
  /**
   * By id, unambiguous id prefix, or six-character code.
   * @throws CountersignError `REQUEST_NOT_FOUND`, `REQUEST_AMBIGUOUS`
   */
  find(reference: string): Promise<RequestSummary>;
  history(request: RequestId): Promise<readonly Entry[]>;
}

/** The running policy is the last adopted revision; the file is a proposal (P6). */
export interface Adoption {
  current(): Policy;
  /** Sequence numbers of all adoptions, ascending: whose key it was when is found there. */
  sequence(): readonly number[];
  /** The file as it stands now, against what runs. */
  proposal(): Promise<Proposal>;
  /** The statement `person` would sign to adopt the proposal. */
  draft(person: string): Promise<AdoptionStatement>;
  /**
   * Adopts the proposal if the statements meet what the running revision demands.
   * @throws CountersignError `ADOPTION_REFUSED`, `POLICY_INVALID`
   */
  adopt(
    statements: readonly { readonly statement: AdoptionStatement; readonly proof: Proof }[],
  ): Promise<Digest>;
}

export interface Proposal {
  /** Null where the file does not load; `errors` then says why, with places. */
  readonly revision: Digest | null;
  readonly registry: Digest;
  readonly errors: readonly string[];
  readonly changed: boolean;
  /** One line per semantic difference: `rule prod-deletes-need-two: quorum 2 -> 1 (weaker)`. */
  readonly diff: readonly { readonly text: string; readonly weaker: boolean }[];
  /** What adoption still needs: `{ by: [security], quorum: 2, assurance: A3 }`; null: nothing (on_save). */
  readonly needs: {
    readonly by: readonly string[];
    readonly quorum: number;
    readonly assurance: string;
  } | null;
}
