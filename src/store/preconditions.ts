import type { KeyHold } from "../log/entry.ts";
import type { Batch, Conflict, FoldPort } from "./store.ts";

// Checks the preconditions of the batches of one group, each against the log as it will be after those before it.
// The fold knows only what is durable; what the group itself will add stands in an overlay.

export interface GroupPreconditions {
  /** What stands against the batch now; null: nothing. */
  conflict(batch: Batch): Conflict | null;
  /** The batch will be written with its first entry at `firstSeq`. */
  accept(batch: Batch, firstSeq: number): void;
}

/** `now` is the time, epoch milliseconds, that the group's entries will carry. */
export function createGroupPreconditions(fold: FoldPort, now: number): GroupPreconditions {
  const newest = new Map<string, number>();
  const holds = new Map<string, { readonly hold: KeyHold; readonly subject: string }>();

  const holder = (key: string): string | null => {
    const held = holds.get(key);
    if (held === undefined) return fold.holder(key, now);
    const { hold, subject } = held;
    return hold.until === null || hold.until > now ? subject : null;
  };

  return {
    conflict(batch) {
      for (const { subject, newest: expected } of batch.expect) {
        // Nobody can have seen an entry of this group yet, so whoever expects anything of its subjects is too late.
        const grouped = newest.get(subject);
        if (grouped !== undefined) return { kind: "subject", subject, newest: grouped };
        const found = fold.newest(subject);
        if (found !== expected || fold.isClosed(subject)) return { kind: "subject", subject, newest: found };
      }
      for (const key of batch.newKeys) {
        const subject = holder(key);
        if (subject !== null) return { kind: "key", key, holder: subject };
      }
      return null;
    },
    accept(batch, firstSeq) {
      for (const [i, draft] of batch.entries.entries()) {
        newest.set(draft.subject, firstSeq + i);
        if (draft.keys === undefined) continue;
        for (const hold of draft.keys) holds.set(hold.key, { hold, subject: draft.subject });
      }
    },
  };
}
