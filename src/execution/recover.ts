import type { Clock } from "../base/clock.ts";
import type { RequestId } from "../base/id.ts";
import type { EntryDraft } from "../log/entry.ts";
import { keysAfter } from "../request/recognition.ts";
import type { ClaimOwner } from "./entries.ts";
import type { Executor, ExecutorParts } from "./execution.ts";
import type { Execution } from "./executions.ts";
import { settledEntry } from "./outcome.ts";
import { isAlive } from "./owner.ts";
import { isVouchedRead } from "./read.ts";
import { readPlan } from "./sealed-plan.ts";
import { withinTime } from "./time-limit.ts";

// What the steward does about executions whose process is gone.
//
//   A read changes nothing whatever became of it, so nobody has to find out: it is resolved in the same breath.
//   X2. A crash in *claimed* sent nothing: the grant may be claimed again. A crash in *dispatched* is unknown, at
//       once and durably; then the world is asked (`reconcile`), and if it cannot tell, a person is.

const FIRST_WAIT_MS = 5_000;
const LONGEST_WAIT_MS = 300_000;
/** The longest words of a person about an outcome that stand in an entry. */
const MAX_WORDS = 2_000;

export interface Recovery {
  /** Looks at every open execution once. Returns those that may be run again. */
  sweep(): Promise<readonly RequestId[]>;
  /** Asks the world about an unknown outcome; true where it could tell. */
  reconcile(request: RequestId): Promise<boolean>;
  /** A person settles an unknown outcome. */
  resolve(request: RequestId, outcome: "done" | "failed", person: string, message: string): Promise<boolean>;
}

export function createRecovery(
  parts: ExecutorParts & { readonly owner: ClaimOwner; readonly clock: Clock },
  executor: Executor,
): Recovery {
  const { state } = parts;
  const asked = new Map<RequestId, { readonly wait: number; readonly notBefore: number }>();

  const resolveAs = async (
    execution: Execution,
    outcome: "done" | "failed",
    by: "reconcile" | "person",
    person: string | null,
    message: string,
  ): Promise<boolean> => {
    const record = state.requests.open.get(execution.request);
    if (record?.phase !== "unknown") return false;
    const appended = await parts.append({
      expect: [{ subject: record.id, newest: record.newestSeq }],
      newKeys: [],
      entries: [
        {
          kind: "execution.resolved",
          subject: record.id,
          policy: parts.policy().revision,
          keys: keysAfter(record.keys, outcome, false, parts.clock.now()),
          data: { grant: execution.grant, outcome, by, person, message },
        },
      ],
    });
    return appended.ok;
  };

  const markUnknown = async (execution: Execution): Promise<void> => {
    const record = state.requests.open.get(execution.request);
    if (record?.phase !== "dispatched") return;
    const message = "the gateway stopped after it had dispatched the action and before it knew the outcome";
    const { revision } = parts.policy();
    const unknown = settledEntry(
      record,
      execution.grant,
      revision,
      { kind: "unknown", summary: message, error: { code: "outcome_unknown", message } },
      { output: null, undo: null },
      parts.clock.now(),
    );
    const tool = parts.tool(record.received.tool);
    const isRead = record.received.effect === "read" && tool !== null && isVouchedRead(tool);
    const resolved: EntryDraft<"execution.resolved"> = {
      kind: "execution.resolved",
      subject: record.id,
      policy: revision,
      keys: keysAfter(record.keys, "failed", false, parts.clock.now()),
      data: {
        ...{ grant: execution.grant, outcome: "failed", by: "reconcile", person: null },
        message: "it was a read, which changes nothing; whether its caller was answered is not recorded",
      },
    };
    await parts.append({
      expect: [{ subject: record.id, newest: record.newestSeq }],
      newKeys: [],
      entries: isRead ? [unknown, resolved] : [unknown],
    });
    if (!isRead) parts.log.error({ requestId: record.id }, "outcome unknown after a crash");
  };

  const reconcile: Recovery["reconcile"] = async (request) => {
    const record = state.requests.open.get(request);
    const execution = state.executions.open.get(request);
    const tool = record === undefined ? null : parts.tool(record.received.tool);
    if (record?.phase !== "unknown" || execution === undefined || tool === null || !tool.canReconcile)
      return false;
    const { ctx, dispose } = await executor.contextFor(record, execution.grant, "preview");
    try {
      const sealed = await readPlan(parts.blobs, record);
      const found = await withinTime(tool.reconcile(sealed.plan, ctx), ctx.signal);
      if (found === "unknown") return false;
      return await resolveAs(
        execution,
        found === "done" ? "done" : "failed",
        "reconcile",
        null,
        found === "done" ? "the backend shows that it ran" : "the backend shows that it did not run",
      );
    } catch (error) {
      parts.log.warn({ requestId: request, err: error }, "reconcile failed");
      return false;
    } finally {
      await dispose();
    }
  };

  /** Asks the world, each time after a longer while: a backend that can't tell is not asked for ever and a day. */
  const askAgain = async (request: RequestId): Promise<void> => {
    const now = parts.clock.monotonic();
    const last = asked.get(request);
    if (last !== undefined && now < last.notBefore) return;
    const wait = last === undefined ? FIRST_WAIT_MS : Math.min(last.wait * 2, LONGEST_WAIT_MS);
    asked.set(request, { wait, notBefore: now + wait });
    if (await reconcile(request)) asked.delete(request);
    for (const id of asked.keys()) if (!state.executions.open.has(id)) asked.delete(id);
  };

  return {
    async sweep() {
      const again: RequestId[] = [];
      const left = [...state.executions.open.values()].filter(
        ({ owner }) => owner !== null && !isAlive(owner, parts.owner),
      );
      for (const execution of left) {
        if (execution.status === "dispatched") await markUnknown(execution);
        if (execution.status === "claimed") again.push(execution.request);
      }
      for (const { status, request } of left) if (status === "unknown") await askAgain(request);
      return again;
    },
    reconcile,
    async resolve(request, outcome, person, message) {
      const execution = state.executions.open.get(request);
      return execution === undefined
        ? false
        : resolveAs(execution, outcome, "person", person, parts.maskText(message).slice(0, MAX_WORDS));
    },
  };
}
