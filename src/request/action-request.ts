import type { Digest } from "../base/digest.ts";
import type { RequestId } from "../base/id.ts";
import type { AnyRequester } from "./principal.ts";

/** How much an action may change. `privilege` changes who may do what. */
export type Effect = "read" | "write" | "destructive" | "privilege";
export const EFFECTS = ["read", "write", "destructive", "privilege"] as const satisfies readonly Effect[];

/** A resource the action touches. `environment` comes from the operator's registry, never from an argument. */
export interface Target {
  readonly kind: string;
  readonly id: string;
  readonly environment: string;
}

/** A document kept beside the log: salted digest, length in bytes, media type. */
export interface BlobRef {
  readonly digest: Digest;
  readonly bytes: number;
  readonly type: string;
}

/** An action someone wants done: what the gate knows before anything is previewed. */
export interface ActionRequest {
  readonly id: RequestId;
  readonly requester: AnyRequester;
  readonly tool: string;
  readonly toolDefinition: Digest;
  readonly effect: Effect;
  /** Sealed: the exact RFC 8785 bytes. */
  readonly arguments: BlobRef;
  /** Record: the same with masks, as people see them. */
  readonly maskedArguments: BlobRef;
  readonly targets: readonly Target[];
  /** The agent's claim; null where it gave none. */
  readonly reasoning: BlobRef | null;
}
