import type { Timestamp } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import type { RequestId } from "../base/id.ts";
import type { Fidelity } from "../preview/fidelity.ts";
import type { Requirement, RuleMatch, VerdictKind } from "../policy/verdict.ts";
import type { ActionRequest, BlobRef } from "./action-request.ts";
import type { RefusalCode } from "./refusal.ts";

/** Entries whose subject is a request, up to the point where people are asked. */
export interface RequestEntries {
  "request.received": Omit<ActionRequest, "id"> & {
    readonly transport: "stdio" | "http" | "cli";
    /** Claimed by the client. */
    readonly client: { readonly name: string; readonly version: string } | null;
    /** The request that this one repeats after it ended. */
    readonly follows: RequestId | null;
  };
  "request.planned": {
    /** Sealed: what will run. Null for an allowed read, whose plan is its arguments. */
    readonly plan: BlobRef | null;
    readonly files: readonly (BlobRef & { readonly name: string })[];
    /** Record: what people are shown. */
    readonly view: BlobRef | null;
    readonly summary: string;
    readonly guard: string;
    readonly fidelity: Fidelity;
    readonly expires_at: Timestamp | null;
    /** Sealed: everything the verdict was computed from; re-evaluation before the claim reads this. */
    readonly inputs: BlobRef;
    /** Record: the same with masks; replay reads this and says `partial` where a mask hid an input. */
    readonly masked_inputs: BlobRef;
    readonly verdict: VerdictKind;
    readonly rules: readonly RuleMatch[];
    readonly requirement: Requirement | null;
    readonly requirement_digest: Digest | null;
    readonly because: readonly string[];
  };
  "request.refused": {
    readonly code: RefusalCode;
    readonly denied_by: "policy" | "gate";
    readonly message: string;
    readonly rules: readonly RuleMatch[];
    readonly because: readonly string[];
    /** Present when nothing was received before it: who tried what. */
    readonly attempt: {
      readonly tool: string;
      readonly principal: string;
      readonly agent: string;
      readonly transport: "stdio" | "http" | "cli";
    } | null;
  };
  "request.withdrawn": { readonly by: string; readonly reason: string | null };
  "request.expired": { readonly at: "consent" | "grant"; readonly deadline: Timestamp };
  "request.stale": { readonly why: StaleReason; readonly message: string };
}

export type StaleReason =
  | "guard_changed"
  | "requirement_changed"
  | "requester_changed"
  | "tool_changed"
  | "approver_changed"
  | "plan_expired";
