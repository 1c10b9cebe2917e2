import type { Json, JsonObject } from "../base/canonical-json.ts";
import type { Clock } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import type { RequestId } from "../base/id.ts";
import type { EntryDraft } from "../log/entry.ts";
import { keysAfter } from "../request/recognition.ts";
import type { BlobRef } from "../request/action-request.ts";
import type { RequestRecord, RequestsState } from "../request/requests.ts";
import type { AppendResult, Batch, BlobStore } from "../store/store.ts";
import type { Reconciled, Tool, ToolContext } from "../tool.ts";
import { appendOutcome } from "./append-outcome.ts";
import { claimEntry, dispatchEntries, storeLease } from "./dispatch.ts";
import type { ClaimOwner } from "./entries.ts";
import type { Execution, ExecutionsState } from "./executions.ts";
import { isAlive } from "./owner.ts";
import { oneLine, outcomeOfError, settledEntry, type Outcome } from "./outcome.ts";
import { keepResult, plainJson } from "./result.ts";
import { readPlan, readSealedFile, type SealedPlan } from "./sealed-plan.ts";
import { TimeIsUp, withinTime } from "./time-limit.ts";

// Spends a grant and runs the tool behind it.
//
//   G1. Nothing executes without a grant. G3. A grant is spent once and not after `execute_by`.
//   D2. `execute` gets the sealed plan and never the agent's arguments.
//   X1. Claim and dispatch are durable before the tool is called. The guard is read between the two, so that only
//       the claim's owner reads it, and a drifted world makes the request stale.
//   X2. A dispatch without outcome is never run again on a guess.
//   X3. A lease is durable in the same batch as its dispatch, with all it needs to undo.

export interface ExecutorParts {
  readonly clock: Clock;
  readonly owner: ClaimOwner;
  readonly state: { readonly requests: RequestsState; readonly executions: ExecutionsState };
  readonly blobs: BlobStore;
  readonly log: OperationsLog;
  catchUp(): Promise<void>;
  append(batch: Batch): Promise<AppendResult>;
  /** Revision that runs. */
  policy(): { readonly revision: Digest };
  /** True once the grant's end has come by either clock. */
  isPastGrant(execution: Execution): boolean;
  /** May the request still run under the policy, people and tools of now (design §3 step 8)? */
  recheck(execution: Execution): Promise<Recheck & { readonly policySeq: number | null }>;
  /** True where this process is the steward or one lives. */
  hasSteward(): Promise<boolean>;
  tool(name: string): Tool | null;
  context(parts: ContextParts): Promise<{ readonly ctx: ToolContext; dispose(): Promise<void> }>;
  mask(value: Json): Json;
  maskText(text: string): string;
}

export interface ContextParts {
  readonly request: RequestId;
  readonly idempotencyKey: string;
  /** `execute_at_once`: of a change that policy allowed, straight after its preview ({@link Executor.runAllowed}). */
  readonly mode: "preview" | "execute" | "execute_at_once";
  readonly asks?: JsonObject;
  file(name: string): Promise<Uint8Array>;
  progress(message: string): void;
}

/** The part of pino that the engine uses. Operations only; evidence is entries. */
export interface OperationsLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** `policySeq` beside it: what claim and dispatch expect of the subject `policy`, so that an adoption is seen. */
export type Recheck =
  | { readonly verdict: "runs" }
  /** It may never run: this entry says why. */
  | { readonly verdict: "ended"; readonly entry: EntryDraft }
  /** Not here or not now: the clock is behind, or this process lacks the tool. */
  | { readonly verdict: "not_now" };

/** What a run came to, with the unmasked output for the caller that is attached. */
export interface Ran {
  readonly outcome: Outcome;
  readonly output: Json | null;
}

export interface Executor {
  /** Claims and runs a granted request; null where it may not, or somebody else does. */
  run(
    request: RequestId,
    progress: (message: string) => void,
    options?: {
      /** The steward may claim again what a dead process had claimed and not dispatched. */ takeOver: boolean;
    },
  ): Promise<Ran | null>;
  /**
   * Runs a request that policy allowed, straight after its preview and on the tool that made it: this process has claimed
   * and dispatched it in the batch with which it came to be. The tool waits for `ready`; where that rejects, nothing is
   * sent and the request has failed.
   */
  runAllowed(
    request: RequestId,
    tool: Tool,
    progress: (message: string) => void,
    ready: Promise<void>,
  ): Promise<Ran | null>;
  /** A tool context for this request, for recovery. */
  contextFor(record: RequestRecord, grant: string, mode: "preview"): ReturnType<ExecutorParts["context"]>;
}

export function createExecutor(parts: ExecutorParts): Executor {
  const { state, clock } = parts;
  const silent = (): void => undefined;
  /** Requests that this process is at: their claim is not free, though its owner lives. */
  const working = new Set<RequestId>();

  const contextFor = (
    record: RequestRecord,
    grant: string,
    mode: ContextParts["mode"],
    progress: (message: string) => void = silent,
  ) =>
    parts.context({
      request: record.id,
      idempotencyKey: grant,
      mode,
      file: (name) => readSealedFile(parts.blobs, record, name),
      progress,
    });

  const isClaimable = (execution: Execution, takeOver: boolean): boolean =>
    execution.status === "granted" ||
    (execution.status === "claimed" &&
      execution.owner !== null &&
      // Our own claim, whose dispatch came to nothing: `working` says that nobody here is at it.
      (execution.owner.boot === parts.owner.boot || (takeOver && !isAlive(execution.owner, parts.owner))));

  /** What dispatch expects, or null. */
  const claim = async (execution: Execution): Promise<Batch["expect"] | null> => {
    const seenSeq = state.requests.open.get(execution.request)?.newestSeq;
    const checked = await parts.recheck(execution);
    const record = state.requests.open.get(execution.request);
    if (record === undefined || checked.verdict === "not_now") return null;
    if (record.newestSeq !== seenSeq) return null;
    const of = {
      request: record.id,
      grant: execution.grant,
      policy: parts.policy().revision,
      fence: execution.fence + 1,
    };
    const entry = checked.verdict === "runs" ? claimEntry(of, parts.owner) : checked.entry;
    const policy = { subject: "policy", newest: checked.policySeq };
    const appended = await parts.append({
      expect: [{ subject: record.id, newest: record.newestSeq }, policy],
      newKeys: [],
      entries: [entry],
    });
    const claimed = appended.ok && checked.verdict === "runs" ? appended.entries[0] : undefined;
    return claimed === undefined ? null : [{ subject: record.id, newest: claimed.seq }, policy];
  };

  /** The tool it was dispatched for, or null. */
  const dispatch = async (
    execution: Execution,
    expect: Batch["expect"],
    progress: (message: string) => void,
  ): Promise<Tool | null> => {
    const record = state.requests.open.get(execution.request);
    const tool = record === undefined ? null : parts.tool(record.received.tool);
    if (record === undefined || record.planned === null || tool === null) return null;
    const append = (entries: readonly EntryDraft[]): Promise<AppendResult> =>
      parts.append({ expect, newKeys: [], entries });
    const sealed = await readPlan(parts.blobs, record);
    if (sealed.lease?.endsBy === "countersign" && !(await parts.hasSteward())) return null;
    const guard = await readGuard(record, tool, sealed, execution, progress);
    const { revision } = parts.policy();
    if (guard !== record.planned.guard) {
      const message =
        guard === null
          ? "the world could not be read again"
          : "the world is no longer the one that was shown";
      await append([staleEntry(record, revision, message, clock.now())]);
      return null;
    }
    const undo = await storeLease(parts.blobs, sealed, record.id);
    // Where the grant ran out while the guard was read, or the policy moved, nothing was sent: the next look at the
    // request ends it, or claims it again.
    if (parts.isPastGrant(execution)) return null;
    const of = { request: record.id, grant: execution.grant, policy: revision, fence: execution.fence };
    const appended = await append(dispatchEntries(of, tool.name, sealed, undo, clock.now()));
    return appended.ok ? tool : null;
  };

  const readGuard = async (
    record: RequestRecord,
    tool: Tool,
    sealed: SealedPlan,
    execution: Execution,
    progress: (message: string) => void,
  ): Promise<string | null> => {
    const { ctx, dispose } = await contextFor(record, execution.grant, "preview", progress);
    try {
      return await withinTime(tool.guard(sealed.plan, ctx), ctx.signal);
    } catch (error) {
      parts.log.warn({ requestId: record.id, err: error }, "guard could not be read");
      return null;
    } finally {
      await dispose();
    }
  };

  /** `late` where the tool goes on after its time was up: what it gives then is evidence (X2). */
  type Performed = Ran & { readonly undo: Json | null; readonly late?: Promise<unknown> };

  const execute = async (
    record: RequestRecord,
    tool: Tool,
    grant: string,
    progress: (message: string) => void,
    { mode, ready }: Way,
  ): Promise<Performed> => {
    let sealed: SealedPlan;
    let context: Awaited<ReturnType<typeof contextFor>>;
    try {
      sealed = await readPlan(parts.blobs, record);
      // X1: an entry that is durable names documents that are.
      await ready;
      context = await contextFor(record, grant, mode, progress);
    } catch (error) {
      parts.log.error({ requestId: record.id, err: error }, "execution could not be started");
      const message = "the sealed plan could not be handed to the tool, so nothing was sent";
      return {
        outcome: { kind: "failed", summary: message, error: { code: "not_started", message } },
        output: null,
        undo: null,
      };
    }
    const { ctx, dispose } = context;
    const work = tool.execute(sealed.plan, ctx);
    try {
      const { output, undo } = await withinTime(work, ctx.signal);
      return {
        outcome: { kind: "done", summary: record.planned?.summary ?? "", error: null },
        output: plainJson(parts, record.id, output),
        undo: plainJson(parts, record.id, undo),
      };
    } catch (error) {
      parts.log.warn({ requestId: record.id, err: error }, "execution threw");
      const message = oneLine(error, parts.maskText);
      // It may still be at work, so the world would not tell the truth yet.
      const ask = (): Promise<Reconciled> =>
        error instanceof TimeIsUp ? Promise.resolve("unknown") : askWorld(record, tool, sealed, grant);
      const outcome = await outcomeOfError(error, message, ask);
      const late = error instanceof TimeIsUp ? { late: work } : {};
      return { outcome, output: null, undo: null, ...late };
    } finally {
      const ended = work.then(dispose, dispose);
      if (!ctx.signal.aborted) await ended;
    }
  };

  const askWorld = async (
    record: RequestRecord,
    tool: Tool,
    sealed: SealedPlan,
    grant: string,
  ): Promise<Reconciled> => {
    const { ctx, dispose } = await contextFor(record, grant, "preview");
    try {
      return await withinTime(tool.reconcile(sealed.plan, ctx), ctx.signal);
    } finally {
      await dispose();
    }
  };

  const settle = async (
    record: RequestRecord,
    execution: Execution,
    dispatchedSeq: number,
    result: Performed,
  ): Promise<void> => {
    const { output, undo, durable } = await keepResult(parts, record.id, result);
    const { revision } = parts.policy();
    const appended = await appendOutcome(parts, record.id, () => ({
      expect: [{ subject: record.id, newest: dispatchedSeq }],
      newKeys: [],
      entries: [
        settledEntry(record, execution.grant, revision, result.outcome, { output, undo }, clock.now()),
      ],
    }));
    // Nobody is told of the outcome before both are on the disk (L1).
    await durable;
    // Somebody took us for dead and settled it as unknown: our result is evidence and changes no state (X2).
    if (!appended.ok) await noteLate(record, execution, result.outcome.summary, output);
  };

  const noteLate = async (
    record: RequestRecord,
    execution: Execution,
    message: string,
    output: BlobRef | null,
  ): Promise<void> => {
    const still = state.requests.open.get(record.id);
    if (still === undefined) return;
    await parts.append({
      expect: [{ subject: record.id, newest: still.newestSeq }],
      newKeys: [],
      entries: [
        {
          kind: "execution.late",
          subject: record.id,
          policy: parts.policy().revision,
          data: { grant: execution.grant, message, output },
        },
      ],
    });
  };

  /** How a dispatched request comes to its tool. */
  type Way = {
    readonly mode: Exclude<ContextParts["mode"], "preview">;
    readonly ready?: Promise<void>;
  };

  const runDispatched = async (
    request: RequestId,
    tool: Tool,
    progress: (message: string) => void,
    way: Way,
  ): Promise<Ran | null> => {
    const record = state.requests.open.get(request);
    const execution = state.executions.open.get(request);
    if (record === undefined || execution === undefined) return null;
    if (execution.status !== "dispatched" || execution.owner?.boot !== parts.owner.boot) return null;
    const dispatchedSeq = record.newestSeq;
    parts.log.info({ requestId: request, tool: tool.name }, "execution started");
    const result = await execute(record, tool, execution.grant, progress, way);
    await settle(record, execution, dispatchedSeq, result);
    parts.log.info({ requestId: request, outcome: result.outcome.kind }, "execution settled");
    result.late
      ?.then(
        () => "the tool reported success after its time was up",
        (error: unknown) => oneLine(error, parts.maskText),
      )
      .then((message) => noteLate(record, execution, message.slice(0, 1_000), null))
      .catch((error: unknown) =>
        parts.log.warn({ requestId: request, err: error }, "a late result is not recorded"),
      );
    return { outcome: result.outcome, output: result.output };
  };

  return {
    async run(request, progress, { takeOver } = { takeOver: false }) {
      if (working.has(request)) return null;
      working.add(request);
      try {
        await parts.catchUp();
        const execution = state.executions.open.get(request);
        if (execution === undefined || !isClaimable(execution, takeOver)) return null;
        const claimed = await claim(execution);
        if (claimed === null) return null;
        progress("granted; checking that the world is still the one that was shown");
        const tool = await dispatch(execution, claimed, progress);
        if (tool === null) return null;
        progress("running");
        // People, or time, may stand between its preview and now.
        return await runDispatched(request, tool, progress, { mode: "execute" });
      } finally {
        working.delete(request);
      }
    },
    runAllowed(request, tool, progress, ready) {
      // What people approved has another basis for ever, and a read's preview asked nobody.
      const isAllowed = state.executions.open.get(request)?.basis === "verdict";
      const isRead = state.requests.open.get(request)?.received.effect === "read";
      const mode = isAllowed && !isRead ? "execute_at_once" : "execute";
      return runDispatched(request, tool, progress, { mode, ready });
    },
    contextFor: (record, grant, mode) => contextFor(record, grant, mode),
  };
}

/** A request whose world moved; it frees its keys at once, so that the agent can ask again. */
export function staleEntry(
  record: RequestRecord,
  policy: Digest,
  message: string,
  now: number,
  why: EntryDraft<"request.stale">["data"]["why"] = "guard_changed",
): EntryDraft<"request.stale"> {
  return {
    kind: "request.stale",
    subject: record.id,
    policy,
    keys: keysAfter(record.keys, "stale", false, now),
    data: { why, message },
  };
}
