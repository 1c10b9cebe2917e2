import type { Logger } from "pino";
import type { RequestId } from "../base/id.ts";
import type { Digest } from "../base/digest.ts";
import type { Settings } from "../config/settings.ts";
import type { Result } from "../base/result.ts";
import type { CredentialDesk } from "../consent/credential-desk.ts";
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
import type { Records } from "./records.ts";
import type { Replay } from "./replay.ts";
import type { Story } from "./story.ts";
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
  readonly records: Records;
  readonly replay: Replay;
  readonly credentials: CredentialDesk;
  /** The whole story of a request, from its record alone. @throws CountersignError `REQUEST_NOT_FOUND` */
  explain(request: RequestId): Promise<Story>;
  /**
   * Becomes the steward of the home if nobody is: delivers asks, fires deadlines, executes grants of detached
   * requests, recovers, writes snapshots. False where another process is it.
   */
  startSteward(): Promise<boolean>;
  /** True where this process is the steward or one lives: somebody runs what is granted. */
  hasSteward(): Promise<boolean>;
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
  /**
   * Puts a new key of the log in force, in every process that has the home open.
   * @throws CountersignError `LOG_KEY_MISMATCH` where another process was first
   */
  rotateLogKey(): Promise<{ readonly from: string; readonly to: string; readonly seq: number }>;
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
  list(limit: number, fits?: (id: RequestId) => boolean): readonly RequestSummary[];
  /** From memory: open, or among the newest thousand that ended. */
  peek(request: RequestId): RequestSummary | null;
  /** Newest first, and older ones from the log: bounded work whatever is asked for. */
  page(wish: RequestPageWish): Promise<RequestPage>;
  /**
   * By id, unambiguous id prefix, or six-character code.
   * @throws CountersignError `REQUEST_NOT_FOUND`, `REQUEST_AMBIGUOUS`
   */
  find(reference: string): Promise<RequestSummary>;
  history(request: RequestId): Promise<readonly Entry[]>;
}

export interface RequestPageWish {
  /** At most so many. */
  readonly limit: number;
  /** `next` of the page before. */
  readonly cursor: string | null;
  readonly fits: (summary: RequestSummary) => boolean;
  /** Nothing that has ended can fit, so the log is not looked into. */
  readonly openOnly: boolean;
}

export interface RequestPage {
  readonly requests: readonly RequestSummary[];
  /** Where the next page begins; null: there is none. */
  readonly next: string | null;
  /** The search stopped before it had looked everywhere; `next` goes on. */
  readonly truncated: boolean;
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
   * Records one person's statement for the proposal, and adopts it as soon as enough have signed.
   * @throws CountersignError `ADOPTION_REFUSED`, `SIGNATURE_INVALID`, `POLICY_INVALID`
   */
  endorse(statement: AdoptionStatement, proof: Proof): Promise<Endorsed>;
  /**
   * Adopts the proposal if the statements, with those that were recorded before, meet what the running revision demands.
   * @throws CountersignError `ADOPTION_REFUSED`, `POLICY_INVALID`
   */
  adopt(
    statements: readonly { readonly statement: AdoptionStatement; readonly proof: Proof }[],
  ): Promise<Digest>;
}

export type Endorsed =
  | { readonly state: "adopted"; readonly revision: Digest }
  | { readonly state: "endorsed"; readonly missing: number };

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
  /** Who has signed for exactly this, and how many are missing; 0 where nobody has to. */
  readonly endorsements: readonly {
    readonly person: string;
    readonly at: string;
    readonly assurance: string;
    readonly counts: boolean;
  }[];
  readonly missing: number;
}
