import type { Timestamp } from "../base/clock.ts";
import type { BootId, GrantId, LeaseId } from "../base/id.ts";
import type { Proof } from "../consent/entries.ts";
import type { BlobRef } from "../request/action-request.ts";
import type { SettlementStatement } from "./settlement.ts";

export type OutcomeKind = "done" | "failed" | "unknown";

/** The process that holds a claim: only the steward takes over one whose owner is dead. */
export interface ClaimOwner {
  readonly boot: BootId;
  readonly pid: number;
  /** Start time of the process in clock ticks since boot (Linux), or its epoch milliseconds elsewhere. */
  readonly start: string;
}

/** Entries whose subject is a request, from the claim on. */
export interface ExecutionEntries {
  "execution.claimed": { readonly grant: GrantId; readonly owner: ClaimOwner; readonly fence: number };
  "execution.dispatched": {
    readonly grant: GrantId;
    readonly fence: number;
    readonly idempotency_key: string;
  };
  "execution.settled": {
    readonly grant: GrantId;
    readonly outcome: OutcomeKind;
    /** One masked line. */
    readonly summary: string;
    readonly output: BlobRef | null;
    readonly undo: BlobRef | null;
    readonly error: { readonly code: string; readonly message: string } | null;
  };
  /** An unknown outcome found out later: by asking the backend, or by a person. */
  "execution.resolved": {
    readonly grant: GrantId;
    readonly outcome: "done" | "failed";
    readonly by: "reconcile" | "person";
    readonly person: string | null;
    readonly message: string;
    /** What the person signed; absent where the command line of the gateway's own account said it. */
    readonly signed?: { readonly statement: SettlementStatement; readonly proof: Proof };
  };
  /** A result that came after the outcome was settled as unknown: evidence, it changes no state. */
  "execution.late": { readonly grant: GrantId; readonly message: string; readonly output: BlobRef | null };
}

/** Entries whose subject is a lease: an effect with an end that countersign itself must bring about (X3). */
export interface LeaseEntries {
  "lease.opened": {
    readonly request: string;
    readonly tool: string;
    readonly undo: BlobRef;
    readonly ends_at: Timestamp;
  };
  "lease.ended": { readonly lease: LeaseId; readonly attempts: number; readonly request?: string };
}
