import { parseTimestamp, timestamp, type Timestamp } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import { newId, type RequestId } from "../base/id.ts";
import type { EntryDraft } from "../log/entry.ts";

// The one place where grants are made.
//
//   G2. From an allow verdict, or from a requirement met over one question digest; nowhere else.
//   G3. A grant is spent once and lives `execute_within`, never longer than its plan.

/** What a grant rests on (G2). */
export type GrantBasis =
  { readonly kind: "verdict" } | { readonly kind: "consent"; readonly question: Digest };

export function mintGrant(parts: {
  readonly request: RequestId;
  readonly policy: Digest;
  readonly basis: GrantBasis;
  readonly plan: Digest;
  readonly executeWithinMs: number;
  /** End of the plan's own life; null: none. */
  readonly expiresAt: Timestamp | null;
  /** Epoch milliseconds. */
  readonly now: number;
}): EntryDraft<"grant.minted"> {
  const lives = parts.now + parts.executeWithinMs;
  const ends = parts.expiresAt === null ? lives : Math.min(lives, parseTimestamp(parts.expiresAt));
  return {
    kind: "grant.minted",
    subject: parts.request,
    policy: parts.policy,
    data: {
      grant: newId("grt", parts.now),
      basis: parts.basis.kind,
      question: parts.basis.kind === "consent" ? parts.basis.question : null,
      plan: parts.plan,
      execute_by: timestamp(ends),
    },
  };
}
