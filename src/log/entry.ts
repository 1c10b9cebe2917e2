import type { Timestamp } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import type { LogId } from "../base/id.ts";
import type { ConsentEntries, CredentialEntries } from "../consent/entries.ts";
import type { ExecutionEntries, LeaseEntries } from "../execution/entries.ts";
import type { PolicyEntries } from "../policy/entries.ts";
import type { RequestEntries } from "../request/entries.ts";

// One record of the decision log. An entry is one line of JSON, at most 64 KiB, and its bytes as stored are what is
// hashed; nobody re-serialises it. `seq` and `time` are set by the store under its lock.

/** Entries about the log itself; their subject is `log`. */
export interface LogEntries {
  "log.opened": {
    readonly log: LogId;
    /** C2SP signed-note verifier key of the log. */
    readonly key: string;
    readonly countersign: string;
  };
  /** The log's key was replaced: see key-chain.ts, R1. */
  "log.key_rotated": {
    /** Verifier keys. */
    readonly from: string;
    readonly to: string;
    /** The signed note in which both agree. */
    readonly note: string;
  };
  "blob.erased": {
    readonly digest: Digest | null;
    /** `the request ended` for sealed documents, `retention`, or a person's own words. */
    readonly why: string;
    readonly request: string | null;
    /** The record documents that go, written before they are erased; absent for sealed ones. */
    readonly documents?: readonly Digest[];
    /** Retention: the entry that ended the request. All that ended before it was looked at. */
    readonly through?: number;
    /** The person who had it erased. */
    readonly by?: string;
  };
  /** Calls turned away in the last minute, so that a flood is one entry a minute and not one a call. */
  throttled: {
    readonly principal: string;
    readonly agent: string;
    readonly count: number;
    readonly limit: string;
  };
  /** An ask left over a channel; not awaited. */
  "ask.delivered": { readonly request: string; readonly channel: string };
}

export type EntryData = LogEntries &
  PolicyEntries &
  RequestEntries &
  ConsentEntries &
  CredentialEntries &
  ExecutionEntries &
  LeaseEntries;
export type EntryKind = keyof EntryData;

export const ENTRY_KINDS = [
  "log.opened",
  "log.key_rotated",
  "blob.erased",
  "throttled",
  "ask.delivered",
  "policy.adopted",
  "policy.endorsed",
  "policy.proposed",
  "request.received",
  "request.planned",
  "request.refused",
  "request.withdrawn",
  "request.expired",
  "request.stale",
  "consent.asked",
  "decision.recorded",
  "consent.escalated",
  "consent.reminded",
  "inquiry.made",
  "inquiry.answered",
  "consent.settled",
  "grant.minted",
  "execution.claimed",
  "execution.dispatched",
  "execution.settled",
  "execution.resolved",
  "execution.late",
  "credential.endorsed",
  "credential.invited",
  "credential.enrolled",
  "credential.removed",
  "lease.opened",
  "lease.ended",
] as const satisfies readonly EntryKind[];

/** A key that only one subject may hold at a time. `until` null: as long as nobody says otherwise. */
export interface KeyHold {
  readonly key: string;
  /** Epoch milliseconds at which the key is free again; null: held. */
  readonly until: number | null;
}

/** What the domain wants written. */
export type EntryDraft<K extends EntryKind = EntryKind> = {
  [Kind in K]: {
    readonly kind: Kind;
    readonly subject: string;
    /** Revision of the policy that ran; null before the first adoption. For information. */
    readonly policy: Digest | null;
    readonly keys?: readonly KeyHold[];
    readonly data: EntryData[Kind];
  };
}[K];

/** What stands in the log. */
export type Entry<K extends EntryKind = EntryKind> = EntryDraft<K> & {
  readonly v: 1;
  readonly seq: number;
  readonly time: Timestamp;
  /** How many entries of the same batch follow; absent on the last, and on an entry that was written alone. */
  readonly more?: number;
};

export const MAX_ENTRY_BYTES = 64 * 1024;
