import { canonicalBytes, type Json } from "../base/canonical-json.ts";
import type { Clock } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import type { RequestId } from "../base/id.ts";
import type { EntryDraft } from "../log/entry.ts";
import { keysAfter } from "../request/recognition.ts";
import type { RequestRecord, RequestsState } from "../request/requests.ts";
import type { AppendResult, Batch, BlobStore } from "../store/store.ts";
import type { Tool, ToolContext } from "../tool.ts";
import { claimEntry, dispatchEntries, storeLease } from "./dispatch.ts";
import type { ClaimOwner } from "./entries.ts";
import type { Execution, ExecutionsState } from "./executions.ts";
import { isAlive } from "./owner.ts";
import { outcomeOfError, settledEntry, type Outcome } from "./outcome.ts";
import { readPlan, readSealedFile, type SealedPlan } from "./sealed-plan.ts";

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
  /** Revision that runs, and the newest entry about it: what a claim expects, so that an adoption in between is seen. */
  policy(): { readonly revision: Digest; readonly newestSeq: number | null };
  /** May the request still run under the policy, people and tools of now (design §3 step 8)? */
  recheck(execution: Execution): Promise<Recheck>;
  tool(name: string): Tool | null;
  context(parts: ContextParts): Promise<{ readonly ctx: ToolContext; dispose(): Promise<void> }>;
  mask(value: Json): Json;
  maskText(text: string): string;
}

export interface ContextParts {
  readonly request: RequestId;
  readonly idempotencyKey: string;
  readonly mode: "preview" | "execute";
  file(name: string): Promise<Uint8Array>;
  progress(message: string): void;
}

/** The part of pino that the engine uses. Operations only; evidence is entries. */
export interface OperationsLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

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
  /** Runs a request that this process has claimed and dispatched already. */
  runDispatched(request: RequestId, progress: (message: string) => void): Promise<Ran | null>;
  /** A tool context for this request, for recovery. */
  contextFor(
    record: RequestRecord,
    grant: string,
    mode: ContextParts["mode"],
  ): ReturnType<ExecutorParts["context"]>;
}

export function createExecutor(parts: ExecutorParts): Executor {
  const { state, clock } = parts;
  const silent = (): void => undefined;

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

  const append = (
    record: RequestRecord,
    newest: number,
    entries: readonly EntryDraft[],
  ): Promise<AppendResult> =>
    parts.append({
      expect: [
        { subject: record.id, newest },
        { subject: "policy", newest: parts.policy().newestSeq },
      ],
      newKeys: [],
      entries,
    });

  const isClaimable = (execution: Execution, takeOver: boolean): boolean =>
    execution.status === "granted" ||
    (takeOver &&
      execution.status === "claimed" &&
      execution.owner !== null &&
      !isAlive(execution.owner, parts.owner));

  /** Sequence number of the claim, or null. */
  const claim = async (execution: Execution): Promise<number | null> => {
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
    const appended = await append(record, record.newestSeq, [entry]);
    return appended.ok && checked.verdict === "runs" ? (appended.entries[0]?.seq ?? null) : null;
  };

  const dispatch = async (
    execution: Execution,
    claimedSeq: number,
    progress: (message: string) => void,
  ): Promise<boolean> => {
    const record = state.requests.open.get(execution.request);
    const tool = record === undefined ? null : parts.tool(record.received.tool);
    if (record === undefined || record.planned === null || tool === null) return false;
    const sealed = await readPlan(parts.blobs, record);
    const guard = await readGuard(record, tool, sealed, execution, progress);
    const { revision } = parts.policy();
    if (guard !== record.planned.guard) {
      const message =
        guard === null
          ? "the world could not be read again"
          : "the world is no longer the one that was shown";
      await append(record, claimedSeq, [staleEntry(record, revision, message, clock.now())]);
      return false;
    }
    const undo = await storeLease(parts.blobs, sealed, record.id);
    // Where the grant ran out while the guard was read, or the policy moved, the claim is left to expire: the next
    // look at the request ends it, and nothing was sent.
    if (clock.now() >= execution.executeBy) return false;
    const of = { request: record.id, grant: execution.grant, policy: revision, fence: execution.fence };
    const appended = await append(
      record,
      claimedSeq,
      dispatchEntries(of, tool.name, sealed, undo, clock.now()),
    );
    return appended.ok;
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
      return await tool.guard(sealed.plan, ctx);
    } catch (error) {
      parts.log.warn({ requestId: record.id, err: error }, "guard could not be read");
      return null;
    } finally {
      await dispose();
    }
  };

  const execute = async (
    record: RequestRecord,
    tool: Tool,
    sealed: SealedPlan,
    grant: string,
    progress: (message: string) => void,
  ): Promise<Ran & { readonly undo: Json | null }> => {
    const { ctx, dispose } = await contextFor(record, grant, "execute", progress);
    try {
      const { output, undo } = await tool.execute(sealed.plan, ctx);
      return { outcome: { kind: "done", summary: record.planned?.summary ?? "", error: null }, output, undo };
    } catch (error) {
      parts.log.warn({ requestId: record.id, err: error }, "execution threw");
      const message = parts.maskText(error instanceof Error ? error.message : "the tool threw");
      const outcome = await outcomeOfError(error, message, () => tool.reconcile(sealed.plan, ctx));
      return { outcome, output: null, undo: null };
    } finally {
      await dispose();
    }
  };

  const settle = async (
    record: RequestRecord,
    execution: Execution,
    dispatchedSeq: number,
    result: Ran & { readonly undo: Json | null },
  ): Promise<void> => {
    const output =
      result.output === null ? null : await putJson(parts.blobs, "result", parts.mask(result.output));
    const undo = result.undo === null ? null : await putJson(parts.blobs, "undo", result.undo);
    const { revision } = parts.policy();
    const appended = await parts.append({
      expect: [{ subject: record.id, newest: dispatchedSeq }],
      newKeys: [],
      entries: [
        settledEntry(record, execution.grant, revision, result.outcome, { output, undo }, clock.now()),
      ],
    });
    if (appended.ok) return;
    // Somebody took us for dead and settled it as unknown: our result is evidence and changes no state (X2).
    const still = state.requests.open.get(record.id);
    if (still === undefined) return;
    await parts.append({
      expect: [{ subject: record.id, newest: still.newestSeq }],
      newKeys: [],
      entries: [
        {
          kind: "execution.late",
          subject: record.id,
          policy: revision,
          data: { grant: execution.grant, message: result.outcome.summary, output },
        },
      ],
    });
  };

  const runDispatched: Executor["runDispatched"] = async (request, progress) => {
    const record = state.requests.open.get(request);
    const execution = state.executions.open.get(request);
    const tool = record === undefined ? null : parts.tool(record.received.tool);
    if (record === undefined || execution === undefined || tool === null) return null;
    if (execution.status !== "dispatched" || execution.owner?.boot !== parts.owner.boot) return null;
    const dispatchedSeq = record.newestSeq;
    const sealed = await readPlan(parts.blobs, record);
    parts.log.info({ requestId: request, tool: tool.name }, "execution started");
    const result = await execute(record, tool, sealed, execution.grant, progress);
    await settle(record, execution, dispatchedSeq, result);
    parts.log.info({ requestId: request, outcome: result.outcome.kind }, "execution settled");
    return { outcome: result.outcome, output: result.output };
  };

  return {
    async run(request, progress, { takeOver } = { takeOver: false }) {
      await parts.catchUp();
      const execution = state.executions.open.get(request);
      if (execution === undefined || !isClaimable(execution, takeOver)) return null;
      const claimedSeq = await claim(execution);
      if (claimedSeq === null) return null;
      progress("granted; checking that the world is still the one that was shown");
      if (!(await dispatch(execution, claimedSeq, progress))) return null;
      progress("running");
      return runDispatched(request, progress);
    },
    runDispatched,
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

async function putJson(blobs: BlobStore, tag: "result" | "undo", value: Json) {
  const [ref] = await blobs.put([{ tag, bytes: canonicalBytes(value), type: "application/json" }]);
  return ref ?? null;
}
