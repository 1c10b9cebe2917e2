import type { Digest } from "../base/digest.ts";
import type { EntryDraft, KeyHold } from "../log/entry.ts";
import type { BlobRef } from "../request/action-request.ts";
import { keysAfter, keysAfterRead } from "../request/recognition.ts";
import type { RequestRecord } from "../request/requests.ts";
import { NoEffect, type Reconciled } from "../tool.ts";
import type { OutcomeKind } from "./entries.ts";

/** How a dispatch ended: done, failed (no effect, known), or unknown. Never guessed. */
export interface Outcome {
  readonly kind: OutcomeKind;
  /** One masked line. */
  readonly summary: string;
  readonly error: { readonly code: string; readonly message: string } | null;
}

/**
 * What a thrown error means. NoEffect: failed. Anything else is unknown until `reconcile` has asked the world (X2).
 * `message` is masked already.
 */
export async function outcomeOfError(
  error: unknown,
  message: string,
  reconcile: () => Promise<Reconciled>,
): Promise<Outcome> {
  if (error instanceof NoEffect) return noEffect(error, message);
  const found = await reconcile().catch((): Reconciled => "unknown");
  switch (found) {
    case "done":
      return { kind: "done", summary: `it ran, though the tool reported: ${message}`, error: null };
    case "not_done":
      return { kind: "failed", summary: message, error: { code: "no_effect", message } };
    default:
      // "unknown", or an answer outside the contract, which says as little.
      return { kind: "unknown", summary: message, error: { code: "outcome_unknown", message } };
  }
}

/** A tool may pass on what a backend wrote, and an entry has room for a code only. */
function noEffect(error: NoEffect, message: string): Outcome {
  const code = /^[a-z][a-z0-9_]{0,63}$/.test(error.code) ? error.code : "no_effect";
  return { kind: "failed", summary: message, error: { code, message } };
}

/** What it means where a vouched read threw: it changed nothing, so it has failed. `message` is masked already. */
export const outcomeOfReadError = (error: unknown, message: string): Outcome =>
  error instanceof NoEffect
    ? noEffect(error, message)
    : { kind: "failed", summary: message, error: { code: "read_failed", message } };

/** Longest part of an error's words that is looked at. Masked before it is cut short: half a secret has no form. */
const MAX_WORDS = 64 * 1024;

/** What was thrown, as one masked line. A tool may throw anything. */
export function oneLine(error: unknown, mask: (text: string) => string): string {
  const words: unknown = error instanceof Error ? error.message : error;
  if (typeof words !== "string" || words === "") return "the tool threw without a word";
  return mask(words.slice(0, MAX_WORDS)).replace(/\s+/g, " ").trim();
}

/** R3: a read that is done, held or not, is asked again to see what there is now. */
const keysAfterOutcome = (
  { keys, received }: Parameters<typeof settledEntry>[0],
  outcome: "done" | "failed",
  now: number,
): readonly KeyHold[] =>
  received.effect === "read" && outcome === "done"
    ? keysAfterRead(keys, now)
    : keysAfter(keys, outcome, false, now);

/** The entry that settles a dispatch. Keys of an unknown outcome stay taken until it is resolved (X2). */
export function settledEntry(
  record: Pick<RequestRecord, "id" | "keys"> & {
    readonly received: Pick<RequestRecord["received"], "effect">;
  },
  grant: EntryDraft<"execution.settled">["data"]["grant"],
  policy: Digest | null,
  outcome: Outcome,
  blobs: { readonly output: BlobRef | null; readonly undo: BlobRef | null },
  now: number,
): EntryDraft<"execution.settled"> {
  return {
    kind: "execution.settled",
    subject: record.id,
    policy,
    ...(outcome.kind === "unknown" ? {} : { keys: keysAfterOutcome(record, outcome.kind, now) }),
    data: {
      grant,
      outcome: outcome.kind,
      summary: outcome.summary.slice(0, 1_000),
      output: blobs.output,
      undo: blobs.undo,
      error:
        outcome.error === null ? null : { ...outcome.error, message: outcome.error.message.slice(0, 1_000) },
    },
  };
}
