import { newId, type RequestId } from "../../src/base/id.ts";
import type { EntryDraft, KeyHold } from "../../src/log/entry.ts";
import type { Batch } from "../../src/store/store.ts";

// Small entries for tests of stores, which do not care what the domain means by them.

/** An entry that leaves its request open. */
export const staleDraft = (subject: string, message = "", keys?: readonly KeyHold[]): EntryDraft => ({
  kind: "request.stale",
  subject,
  policy: null,
  ...(keys === undefined ? {} : { keys }),
  data: { why: "guard_changed", message },
});

/** An entry that closes its request in the counting fold. */
export const withdrawnDraft = (subject: string): EntryDraft => ({
  kind: "request.withdrawn",
  subject,
  policy: null,
  data: { by: "ana", reason: null },
});

export const requestAt = (time: number): RequestId => newId("req", time);

export const batchOf = (
  entries: readonly EntryDraft[],
  expect: Batch["expect"] = [],
  newKeys: readonly string[] = [],
): Batch => ({ expect, newKeys, entries });
