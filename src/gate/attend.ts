import { setImmediate } from "node:timers/promises";
import type { Json } from "../base/canonical-json.ts";
import type { RequestId } from "../base/id.ts";
import { isFault } from "../errors.ts";
import type { BlobRef } from "../request/action-request.ts";
import type { RequestRecord } from "../request/requests.ts";
import type { Ran } from "../execution/execution.ts";
import { keyOfRequester } from "../request/requests.ts";
import { quorumOf } from "../consent/quorum.ts";
import { createExpire } from "./expire.ts";
import { historyOf } from "./history.ts";
import type { GateParts } from "./parts.ts";
import type { Attachment, Reply } from "./reply.ts";
import { openInquiries, pendingReply, refused, replyFromHistory, replyOfRun } from "./resume.ts";

// Stays with a request while its caller is attached: until it ends, the hold time is over, or the caller is gone.
// A caller that goes away withdraws nothing; whether the action runs never depends on the life of a socket.

export interface Attend {
  (request: RequestId, attachment: Attachment): Promise<Reply>;
  /**
   * Starts a granted request in this process and keeps its unmasked output for the attached caller. One that came to
   * nothing is left alone for a moment. The steward may take over the claim of a dead process.
   */
  start(request: RequestId, options?: { readonly takeOver: boolean }): void;
  /** Adopts a run that was dispatched with the request itself. */
  adopt(request: RequestId, run: Promise<{ readonly output: Json | null } | null>): void;
  /**
   * Adopts a read that is under way. Whoever is attached is answered when it has come to something, and `record` writes
   * that down meanwhile.
   */
  adoptRead(request: RequestId, run: Promise<Ran>, record: (ran: Ran) => Promise<void>): void;
  /** Where a read has been answered and the log does not say so yet: resolves when it does. Else null. */
  recording(request: RequestId): Promise<void> | null;
  /** Requests of a requester that have come to something, which the log is still to be told. */
  ending(who: string): number;
  /** Resolves when nothing that was started here is running any more. */
  idle(): Promise<void>;
}

/** One who polls, between two looks. */
interface Lingering {
  readonly timer: NodeJS.Timeout;
  readonly gone: AbortController;
}

/** A granted request that could not be started here is looked at again after this long. */
const RETRY_MS = 1_000;

/** How long the caller stays, counted from when it came. */
function stayMs({ phase, received }: RequestRecord, { holdMs, handleAfterMs }: Attachment): number {
  if (handleAfterMs === undefined) return holdMs;
  if (phase === "held") return 0;
  return received.effect === "read" ? holdMs : handleAfterMs;
}

export function createAttend(parts: GateParts): Attend {
  const expire = createExpire(parts);
  const running = new Map<RequestId, Promise<void>>();
  /** Requests whose start came to nothing a moment ago: a full disk must not become a loop. */
  const resting = new Set<RequestId>();
  /** Unmasked results of this process, for callers attached when they came; gone once handed over. */
  const outputs = new Map<RequestId, Json>();
  /** What reads came to that the log does not say yet. */
  const answered = new Map<RequestId, { readonly who: string; readonly reply: Reply }>();
  /** The attached callers of a request, who want to hear how it moves. */
  const progressOf = new Map<RequestId, Set<(message: string) => void>>();
  /** Requests whose caller polls, and counts as attached until it has not come for a while. */
  const lingering = new Map<RequestId, Lingering>();
  const isAttended = (request: RequestId): boolean => progressOf.has(request) || lingering.has(request);

  const adopt: Attend["adopt"] = (request, run) => {
    const work = run
      .then((ran) => {
        if (ran === null) rest(request);
        if (ran !== null && ran.output !== null && isAttended(request)) outputs.set(request, ran.output);
      })
      .catch((error: unknown) => {
        rest(request);
        parts.log.error({ requestId: request, err: error }, "execution could not be started or recorded");
      })
      .finally(() => {
        running.delete(request);
        parts.wakeups.wake(request);
      });
    running.set(request, work);
  };

  const adoptRead: Attend["adoptRead"] = (request, run, record) => {
    const work = run
      .then(async (ran) => {
        const known = parts.state.requests.open.get(request);
        const who = known === undefined ? "" : keyOfRequester(known.received.requester);
        answered.set(request, { who, reply: replyOfRun(request, ran) });
        parts.wakeups.wake(request);
        // Whoever waits is answered first: what is written down of it rides with the next batch in any case.
        await setImmediate();
        await record(ran);
      })
      .catch((error: unknown) =>
        parts.log.error({ requestId: request, err: error }, "the outcome of a read could not be recorded"),
      )
      .finally(() => {
        answered.delete(request);
        running.delete(request);
        parts.wakeups.wake(request);
      });
    running.set(request, work);
  };

  const rest = (request: RequestId): void => {
    resting.add(request);
    setTimeout(() => resting.delete(request), RETRY_MS).unref();
  };

  const start: Attend["start"] = (request, options) => {
    // Whoever may take over comes by seldom enough, and would else be kept away by those who may not.
    if (running.has(request) || (resting.has(request) && options?.takeOver !== true)) return;
    const tellAll = (message: string): void => progressOf.get(request)?.forEach((tell) => tell(message));
    adopt(request, parts.executor.run(request, tellAll, options));
  };

  const idle = async (): Promise<void> => {
    while (running.size > 0) await Promise.all(running.values());
  };

  /** Results are kept for a while only, and power may fail before one is whole; that it ran stays true. */
  const readResult = async (ref: BlobRef): Promise<Json> => {
    try {
      return JSON.parse(new TextDecoder().decode(await parts.store.blobs.get("result", ref))) as Json;
    } catch (error) {
      if (!isFault(error, "BLOB_MISSING") && !isFault(error, "BLOB_CORRUPT")) throw error;
      return null;
    }
  };

  const answer = async (request: RequestId, onlyLooks: boolean): Promise<Reply> => {
    await running.get(request);
    const ending = parts.state.requests.endings.get(request);
    const entries = ending === undefined ? await historyOf(parts.store, request) : [ending.last];
    const reply = await replyFromHistory(request, entries, readResult);
    const output = onlyLooks ? undefined : outputs.get(request);
    if (reply === null) {
      return refused({ request: null, code: "unknown_ticket", deniedBy: "gate", message: "no such request" });
    }
    return reply.status === "done" && output !== undefined ? { ...reply, output } : reply;
  };

  const pending = (request: RequestId): Reply | null => {
    const record = parts.state.requests.open.get(request);
    if (record === undefined) return null;
    const consent = parts.state.consents.byRequest.get(request);
    const quorum = consent === undefined ? null : quorumOf(parts.regime.current().policy, consent);
    return pendingReply(record, consent, quorum);
  };

  const attend = async (request: RequestId, attachment: Attachment): Promise<Reply> => {
    const since = parts.clock.monotonic();
    /** Questions the caller has not been told of: they end the wait, because only an agent that has the reply can answer. */
    const knownBefore = new Set(attachment.toldNothing === true ? [] : inquiriesOf(request));
    let told = "";
    const tell = (message: string): void => {
      if (message !== told) attachment.progress?.(message);
      told = message;
    };
    const { onlyLooks = false } = attachment;
    const listeners = progressOf.get(request) ?? new Set();
    progressOf.set(request, listeners.add(tell));
    try {
      for (;;) {
        const come = answered.get(request);
        if (come !== undefined && !onlyLooks) return come.reply;
        await expire(request);
        const record = parts.state.requests.open.get(request);
        if (record === undefined || record.phase === "unknown") return await answer(request, onlyLooks);
        // A caller that polls is there too: a grant that waits for one is started (`when_attached`).
        const startable = record.phase === "granted" || record.phase === "claimed";
        if (startable && !onlyLooks && !attachment.signal.aborted) start(request);
        const left = since + stayMs(record, attachment) - parts.clock.monotonic();
        const waiting = pending(request);
        const isAsked = inquiriesOf(request).some((id) => !knownBefore.has(id));
        if (isAsked) tell("a person asks about the request; the answer is wanted before they decide");
        if ((left <= 0 || isAsked || attachment.signal.aborted) && waiting !== null) return waiting;
        if (record.phase === "held" && waiting?.status === "pending") tell(waiting.waitingFor);
        await parts.wakeups.changed(
          request,
          record.phase === "held" ? Math.min(left, untilDeadline(request)) : Math.min(left, RETRY_MS),
          attachment.signal,
        );
      }
    } finally {
      listeners.delete(tell);
      const isOpen = parts.state.requests.open.has(request) && !answered.has(request);
      // Who gave up before it was answered will not poll: it has no handle, or has not heard the newest.
      const polls = !onlyLooks && !attachment.signal.aborted && (isOpen || attachment.peeks === true);
      if (polls && attachment.lingerMs !== undefined) linger(request, attachment.lingerMs);
      if (listeners.size === 0) {
        progressOf.delete(request);
        // The result of an ended one was handed over with this answer.
        if (!isOpen && !onlyLooks && attachment.peeks !== true) leave(request);
        if (!lingering.has(request)) outputs.delete(request);
      }
    }
  };

  /** Until the next look: a grant is started as for any attached caller, and its unmasked result is kept. */
  const linger = (request: RequestId, ms: number): void => {
    const known = lingering.get(request);
    clearTimeout(known?.timer);
    const gone = known?.gone ?? new AbortController();
    const timer = setTimeout(() => leave(request), ms).unref();
    lingering.set(request, { timer, gone });
    if (known === undefined) void watch(request, gone.signal);
  };

  const watch = async (request: RequestId, gone: AbortSignal): Promise<void> => {
    for (;;) {
      const record = parts.state.requests.open.get(request);
      if (record === undefined || record.phase === "unknown" || gone.aborted) return;
      if (record.phase === "granted" || record.phase === "claimed") start(request);
      await parts.wakeups.changed(request, null, gone);
    }
  };

  const leave = (request: RequestId): void => {
    const known = lingering.get(request);
    if (known === undefined) return;
    clearTimeout(known.timer);
    known.gone.abort();
    lingering.delete(request);
    if (!progressOf.has(request)) outputs.delete(request);
  };

  const inquiriesOf = (request: RequestId): readonly string[] => {
    const record = parts.state.requests.open.get(request);
    if (record === undefined) return [];
    return openInquiries(record, parts.state.consents.byRequest.get(request)).map(({ id }) => id);
  };

  const untilDeadline = (request: RequestId): number => {
    const deadline = parts.state.consents.byRequest.get(request)?.deadline;
    return deadline === undefined ? RETRY_MS : Math.max(1, deadline - parts.clock.now());
  };

  const ending: Attend["ending"] = (who) => {
    let count = 0;
    for (const one of answered.values()) if (one.who === who) count += 1;
    return count;
  };

  const recording: Attend["recording"] = (request) =>
    answered.has(request) ? (running.get(request) ?? null) : null;

  return Object.assign(attend, { start, adopt, adoptRead, recording, ending, idle });
}
