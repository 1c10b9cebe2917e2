import { canonicalBytes } from "../base/canonical-json.ts";
import { timestamp } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import { newId, type GrantId, type RequestId } from "../base/id.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { BlobRef } from "../request/action-request.ts";
import type { BlobStore } from "../store/store.ts";
import type { ClaimOwner } from "./entries.ts";
import type { SealedPlan } from "./sealed-plan.ts";

// The entries of a claim and of a dispatch (X1), and the lease that is durable with it (X3).

export interface DispatchOf {
  readonly request: RequestId;
  readonly grant: GrantId;
  readonly policy: Digest | null;
  readonly fence: number;
}

export const claimEntry = (of: DispatchOf, owner: ClaimOwner): EntryDraft<"execution.claimed"> => ({
  kind: "execution.claimed",
  subject: of.request,
  policy: of.policy,
  data: { grant: of.grant, owner, fence: of.fence },
});

/** Stores what the lease needs to undo; null where countersign has nothing to end. */
export async function storeLease(
  blobs: BlobStore,
  sealed: SealedPlan,
  request: RequestId,
): Promise<BlobRef | null> {
  if (sealed.lease === null || sealed.lease.endsBy !== "countersign") return null;
  const bytes = canonicalBytes(sealed.lease.undo);
  const [ref] = await blobs.put([{ tag: "undo", bytes, type: "application/json", sealFor: request }]);
  return ref ?? null;
}

export function dispatchEntries(
  of: DispatchOf,
  tool: string,
  sealed: SealedPlan,
  leaseUndo: BlobRef | null,
  now: number,
): readonly EntryDraft[] {
  const dispatched: EntryDraft<"execution.dispatched"> = {
    kind: "execution.dispatched",
    subject: of.request,
    policy: of.policy,
    data: { grant: of.grant, fence: of.fence, idempotency_key: of.grant },
  };
  if (sealed.lease === null || leaseUndo === null) return [dispatched];
  const lease: EntryDraft<"lease.opened"> = {
    kind: "lease.opened",
    subject: newId("lse", now),
    policy: of.policy,
    data: { request: of.request, tool, undo: leaseUndo, ends_at: timestamp(now + sealed.lease.durationMs) },
  };
  return [dispatched, lease];
}
