import type { Digest } from "../base/digest.ts";
import type { ConsentEntries } from "../consent/entries.ts";
import type { EntryData } from "./entry.ts";
import type { FindingCode } from "./finding.ts";
import type { Problem } from "./verify-decision.ts";
import type { Step } from "./verify-order.ts";
import { newWaiting, type Waiting } from "./verify-waiting.ts";

// What the verifier remembers of a request between two of its entries, and the phases these may come in.

/** Where a request that may still run stands. */
export type OpenPhase = "received" | "planned" | "held" | "granted" | "claimed" | "dispatched" | "unknown";
/** How a request that is over ended. */
export type ClosedPhase = "refused" | "denied" | "withdrawn" | "expired" | "stale" | "done" | "failed";

/** What is kept of a request; one that was only received, and one that is over, is no more than a word. */
export type Known = OpenRequest | "received" | ClosedPhase;

/** What the rules need to know of a request that is under way. */
export interface OpenRequest {
  phase: OpenPhase;
  planned: Pick<EntryData["request.planned"], "verdict" | "plan"> | null;
  asked: ConsentEntries["consent.asked"] | null;
  settled: boolean;
  approvals: {
    readonly person: string;
    readonly digest: Digest;
    readonly assurance: string;
    /** Positions of the clauses that the person could serve then. */
    readonly serves: readonly number[];
    /** The passkey that signed; null for another proof. */
    readonly credential: string | null;
    stands: boolean;
  }[];
  readonly waiting: Waiting;
  /** Whether the deny that was counted lets the agent correct the call; null: there was none. */
  fixable: boolean | null;
  grant: { readonly id: string; readonly executeBy: number } | null;
}

/** A request as it is received. */
export const newRequest = (): OpenRequest => ({
  phase: "received",
  planned: null,
  asked: null,
  settled: false,
  approvals: [],
  waiting: newWaiting(),
  fixable: null,
  grant: null,
});

/** What is wrong with a step of a request that stands at none of the `allowed` phases. */
export function expectPhase(
  { kind, subject }: Step,
  request: Known | undefined,
  allowed: readonly OpenPhase[],
  code: FindingCode = "out_of_order",
  rule?: string,
): readonly Problem[] {
  const phase = typeof request === "object" ? request.phase : request;
  if (phase !== undefined && (allowed as readonly string[]).includes(phase)) return [];
  const where = phase === undefined ? "was not received" : `was ${phase}`;
  return [
    { code, message: `${kind} of ${subject}, which ${where}`, ...(rule === undefined ? {} : { rule }) },
  ];
}
