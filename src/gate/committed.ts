import type { Reply } from "./reply.ts";

/** A request that exists now, or a refusal: `reply` waits for it. */
export interface Committed {
  reply(): Promise<Reply>;
}

/** Milliseconds a grant from an allow verdict lives. */
export const EXECUTE_WITHIN_MS = 600_000;
