import type { Json } from "../base/canonical-json.ts";

/** Reasoning above this is refused, not cut: a shortened chain would be a different claim. */
export const MAX_REASONING_BYTES = 256 * 1024;

/** The argument every gated tool's published schema asks for; taken out before anything else sees the arguments. */
export const JUSTIFICATION = "justification";
/** Used instead where a tool has an argument of that name of its own. */
export const JUSTIFICATION_FALLBACK = "countersign_justification";
/** The `_meta` key under which a client may hand over the model's reasoning. */
export const REASONING_META = "dev.countersign/reasoning";

/** What the agent states about why it acts: recorded as claimed, never believed (P2). */
export interface Reasoning {
  readonly justification: string | null;
  /** The value of `_meta["dev.countersign/reasoning"]`, as it came. */
  readonly chain: Json | null;
}
