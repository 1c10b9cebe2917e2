import type { RequestId } from "../base/id.ts";

/** Where a request stands: the fold of its entries. */
export const PHASES = [
  "received",
  "planned",
  "held",
  "granted",
  "claimed",
  "dispatched",
  "done",
  "failed",
  "unknown",
  "refused",
  "denied",
  "expired",
  "withdrawn",
  "stale",
] as const;
export type Phase = (typeof PHASES)[number];

/** One line of a listing. Short, masked, kept in memory for the newest thousand. */
export interface RequestSummary {
  readonly id: RequestId;
  readonly phase: Phase;
  readonly tool: string;
  readonly environments: readonly string[];
  readonly principal: string;
  readonly agent: string;
  /** Effect in one line, once planned. */
  readonly summary: string | null;
  readonly code: string | null;
  /** Why it ended as it did: refusal code, error code; null otherwise. */
  readonly reasonCode: string | null;
  /** Epoch milliseconds. */
  readonly receivedAt: number;
  readonly updatedAt: number;
  readonly newestSeq: number;
}
