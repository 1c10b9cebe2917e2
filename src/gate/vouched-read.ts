import { mintGrant } from "../consent/grant.ts";
import { claimEntry, dispatchEntries } from "../execution/dispatch.ts";
import type { Ran } from "../execution/execution.ts";
import type { ReadRun } from "../execution/read.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { Verdict } from "../policy/policy.ts";
import type { Preview } from "../preview/preview.ts";
import { takenKeys } from "../request/recognition.ts";
import type { AppendResult } from "../store/store.ts";
import type { Attend } from "./attend.ts";
import { EXECUTE_WITHIN_MS, type Committed } from "./committed.ts";
import { plannedDraft, receivedDraft } from "./commit-entries.ts";
import type { StoredEvidence } from "./evidence.ts";
import type { Intake } from "./intake.ts";
import type { GateParts } from "./parts.ts";
import type { ReadEvidence } from "./read-evidence.ts";
import type { Attachment } from "./reply.ts";

// An allowed read that the operator vouches for (design §11, execution/read.ts).
//
//   The tool runs as soon as its batch was accepted and stands in the log's file, and while that is flushed. So a policy
//   that moved, or another process with the same call, is seen before anything is sent; a process that is killed leaves
//   the dispatch behind; and only power that fails leaves a read without a trace, whose caller had no answer.
//   L1. Nobody is answered before entries and documents are on the disk.

export type VouchedRead = (read: {
  readonly intake: Intake;
  readonly verdict: Verdict;
  readonly preview: Preview;
  readonly evidence: ReadEvidence;
  /** Masked. */
  readonly summary: string;
  readonly attachment: Attachment;
}) => Promise<Committed | "again">;

export function createVouchedRead(
  parts: Pick<GateParts, "clock" | "log" | "owner" | "reader" | "store"> & {
    readonly attend: Attend;
    append(
      intake: Intake,
      stored: StoredEvidence,
      entries: readonly EntryDraft[],
      onWritten: () => void,
    ): Promise<AppendResult>;
  },
): VouchedRead {
  const { clock, reader, store, attend } = parts;
  return async ({ intake, verdict, preview, evidence, summary, attachment }) => {
    const { id, tool } = intake.received;
    const { revision } = intake.regime.policy;
    const stored = await evidence.store(store.blobs);
    const now = clock.now();
    const grant = mintGrant({
      ...{ request: id, policy: revision, basis: { kind: "verdict" as const }, now },
      ...{ plan: stored.planned.plan.digest, executeWithinMs: EXECUTE_WITHIN_MS, expiresAt: null },
    });
    const of = { request: id, grant: grant.data.grant, policy: revision, fence: 1 };
    const read: ReadRun = {
      ...{ request: id, grant: grant.data.grant, tool, plan: preview.plan, files: preview.files, summary },
      progress: (message) => attachment.progress?.(message),
      asks: attachment.asks ?? {},
    };
    let running: Promise<Ran> | undefined;
    const start = (): Promise<Ran> => (running ??= reader.run(read));
    const entries = [
      receivedDraft(intake, stored),
      plannedDraft(intake, stored.planned, { preview, summary, verdict }),
      grant,
      claimEntry(of, parts.owner),
      ...dispatchEntries(of, tool.name, stored.planned.sealed, null, now),
    ];
    const appended = await parts.append(intake, stored, entries, () => void start());
    if (!appended.ok) return "again";
    const dispatchedSeq = appended.entries.at(-1)?.seq ?? 0;
    // Whoever calls again meanwhile is not answered before the documents are there either (L1).
    const ran = start().then(async (came) => {
      await stored.durable.catch(() => undefined);
      return came;
    });
    attend.adoptRead(id, ran, (came) => reader.record(read, came, takenKeys(intake.keys), dispatchedSeq));
    parts.log.info({ requestId: id, verdict: "allow" }, "read allowed");
    await stored.durable;
    return { reply: () => attend(id, attachment) };
  };
}
