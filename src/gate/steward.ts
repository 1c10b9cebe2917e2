import { setImmediate } from "node:timers/promises";
import { idTime, newId, type RequestId } from "../base/id.ts";
import type { LeaseKeeper } from "../execution/lease.ts";
import type { Recovery } from "../execution/recover.ts";
import { staleEntry } from "../execution/execution.ts";
import type { EntryDraft } from "../log/entry.ts";
import { AGAIN_WITHIN_MS, type Again } from "./again.ts";
import type { Attend } from "./attend.ts";
import { createExpire } from "./expire.ts";
import { createNudge } from "./nudge.ts";
import type { GateParts } from "./parts.ts";
import { whyStale } from "./recheck.ts";
import { sealedErased } from "./records.ts";
import type { Retention } from "./retention.ts";

// The one process of a home that owns timers: it fires deadlines, escalates and reminds, runs what was granted while nobody was attached,
// recovers what a dead process left, ends leases, re-evaluates after an adoption, erases sealed bytes of ended
// requests, writes snapshots. Without one nothing is lost: expiry is enforced at every use.

const TICK_MS = 500;
const SWEEP_EVERY_MS = 5_000;
const TIDY_TOOLS_EVERY_MS = 3_600_000;
const TIDY_TOOLS_FIRST_MS = 60_000;
const SNAPSHOT_EVERY_MS = 30_000;
/** A round waits so long for a duty that calls backends, and a stop so long for all of them. */
const BACKGROUND_WAIT_MS = 1_000;
const STOP_WAIT_MS = 5_000;
const ERASED_AT_ONCE = 500;
const REEVALUATED_AT_ONCE = 16;
/** The attached process goes first: it can hand the unmasked result over. */
const ATTACHED_FIRST_MS = 400;

export interface StewardParts extends GateParts {
  readonly recovery: Recovery;
  readonly leases: LeaseKeeper;
  readonly attend: Attend;
  readonly again: Again;
  /** Looks at the policy file; adopts or reports it (P6). */
  checkFiles(): Promise<void>;
  writeSnapshot(): Promise<void>;
  /** Tidies what tools and killed processes left behind. */
  tidyTools(): Promise<void>;
  readonly retention: Retention;
  /** Requests among these that have sealed bytes on disk. */
  sealedRequests(isAmong: (request: RequestId) => boolean): Promise<readonly RequestId[]>;
}

export interface Steward {
  /** Does what is due now. */
  tick(): Promise<void>;
  stop(): Promise<void>;
}

export function startSteward(parts: StewardParts): Steward {
  const expire = createExpire(parts);
  const nudge = createNudge(parts);
  let regimeSeq = -1;
  let sweptAt = Number.NEGATIVE_INFINITY;
  let tidiedAt = Number.NEGATIVE_INFINITY;
  let retainedAt = Number.NEGATIVE_INFINITY;
  /** Not with the start: what an agent's host waits for then is its first answer. */
  let toolsTidiedAt = parts.clock.monotonic() - TIDY_TOOLS_EVERY_MS + TIDY_TOOLS_FIRST_MS;
  let savedAt = parts.clock.monotonic();
  let savedSize = parts.store.head().size;
  let ticking: Promise<void> | null = null;
  /** What a duty failed with last, so that the same words are not logged twice a second. */
  const failed = new Map<string, string>();
  /** Duties that wait for backends. */
  const busy = new Map<string, Promise<void>>();
  let stopped = false;

  const expireDue = async (): Promise<void> => {
    const { consents, executions } = parts.state;
    const unanswered = parts.deadlines.due("consent", (request) => {
      const consent = consents.byRequest.get(request);
      return consent?.settled === null ? consent.deadline : undefined;
    });
    for (const request of unanswered) await expire(request);
    const unsent = parts.deadlines.due("grant", (request) => {
      const execution = executions.open.get(request);
      const isUnsent = execution?.status === "granted" || execution?.status === "claimed";
      return isUnsent ? execution.executeBy : undefined;
    });
    for (const request of unsent) await expire(request);
  };

  /** C2, P6: after an adoption every open question is asked again of the policy; another answer makes it stale. */
  const reevaluate = async (): Promise<void> => {
    const regime = parts.regime.current();
    if (regime.seq === regimeSeq) return;
    let looked = 0;
    for (const record of [...parts.state.requests.open.values()]) {
      if (record.phase !== "held") continue;
      // Reading and evaluating never waits for anything, and there may be thousands.
      if ((looked += 1) % REEVALUATED_AT_ONCE === 0) await setImmediate();
      // One whose inputs are gone can't be asked about any more. It is not claimed either; others must not suffer.
      const stale = await whyStale(parts, record).catch((error: unknown) => {
        parts.log.error({ requestId: record.id, err: error }, "open request could not be evaluated again");
        return null;
      });
      if (stale === null) continue;
      await parts.store.append({
        expect: [{ subject: record.id, newest: record.newestSeq }],
        newKeys: [],
        entries: [staleEntry(record, regime.policy.revision, stale.message, parts.clock.now(), stale.why)],
      });
      parts.log.info({ requestId: record.id, why: stale.why }, "open request became stale");
    }
    regimeSeq = regime.seq;
  };

  const runGranted = (): void => {
    const now = parts.clock.now();
    for (const execution of parts.state.executions.open.values()) {
      // A claim of ours whose dispatch came to nothing is free again; others' are not, and the executor knows which.
      if (execution.status !== "granted" && execution.status !== "claimed") continue;
      if (now - execution.grantedAt < ATTACHED_FIRST_MS) continue;
      const when = parts.state.consents.byRequest.get(execution.request)?.requirement.execute;
      if (when !== "when_attached") parts.attend.start(execution.request);
    }
  };

  const noteThrottled = async (): Promise<void> => {
    const entries: EntryDraft[] = parts.limiter.drain().map(({ who, limit, count }) => {
      const space = who.lastIndexOf(" ");
      return {
        kind: "throttled",
        subject: `throttle:${newId("req", parts.clock.now())}`,
        policy: null,
        data: { principal: who.slice(0, space), agent: who.slice(space + 1), count, limit },
      };
    });
    if (entries.length > 0) await parts.store.append({ expect: [], newKeys: [], entries });
  };

  /** Its arguments are needed once more. */
  const isWanted = (id: RequestId): boolean =>
    parts.clock.now() - (parts.state.executions.again.get(id)?.at ?? 0) <= AGAIN_WITHIN_MS;

  /** Sealed bytes live until the request and its leases end; then their key is gone. */
  const eraseEnded = async (): Promise<void> => {
    const leased = new Set([...parts.state.executions.leases.values()].map((lease) => lease.opened.request));
    const isEnded = (id: RequestId): boolean =>
      !parts.state.requests.open.has(id) && !leased.has(id) && !isWanted(id) && isOld(id, parts.clock.now());
    const ended = (await parts.sealedRequests(isEnded)).slice(0, ERASED_AT_ONCE);
    if (ended.length === 0) return;
    // L1. A crash in between leaves keys that the log calls erased; the next round finds them, and says so once more.
    await parts.store.append({
      expect: [],
      newKeys: [],
      entries: ended.map(sealedErased),
    });
    for (const id of ended) await parts.store.blobs.eraseSealed(id);
  };

  const sweep = async (): Promise<void> => {
    const now = parts.clock.monotonic();
    if (now - sweptAt < SWEEP_EVERY_MS) return;
    sweptAt = now;
    for (const request of await parts.recovery.sweep()) {
      parts.attend.start(request, { takeOver: true });
    }
  };

  const tidy = async (): Promise<void> => {
    const now = parts.clock.monotonic();
    if (now - tidiedAt < SWEEP_EVERY_MS) return;
    tidiedAt = now;
    await eraseEnded();
    await noteThrottled();
  };

  const retain = async (): Promise<void> => {
    const now = parts.clock.monotonic();
    if (now - retainedAt < SWEEP_EVERY_MS) return;
    retainedAt = now;
    await parts.retention.step();
  };

  const tidyTools = async (): Promise<void> => {
    const now = parts.clock.monotonic();
    if (now - toolsTidiedAt < TIDY_TOOLS_EVERY_MS) return;
    toolsTidiedAt = now;
    await parts.tidyTools();
  };

  const snapshot = async (): Promise<void> => {
    const now = parts.clock.monotonic();
    if (now - savedAt < SNAPSHOT_EVERY_MS || parts.store.head().size === savedSize) return;
    savedAt = now;
    savedSize = parts.store.head().size;
    await parts.writeSnapshot();
  };

  /** One duty that fails keeps none of the others from being done: a lost policy.yaml must not keep a lease open. */
  const attempt = async (duty: string, work: () => Promise<void> | void): Promise<void> => {
    try {
      await work();
      failed.delete(duty);
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error);
      if (failed.get(duty) !== words) parts.log.error({ duty, err: error }, "steward could not do its duty");
      failed.set(duty, words);
    }
  };

  /** A duty that calls backends may take its time; the round waits a moment for it and goes on. */
  const inBackground = async (duty: string, work: () => Promise<void>): Promise<void> => {
    if (busy.has(duty)) return;
    const done = attempt(duty, work).finally(() => busy.delete(duty));
    busy.set(duty, done);
    await orAfter(done, BACKGROUND_WAIT_MS);
  };

  const tick = async (): Promise<void> => {
    await attempt("catch up", () => parts.store.catchUp());
    await attempt("load the policy", () => parts.regime.refresh());
    await attempt("look at the files", () => parts.checkFiles());
    await attempt("expire", expireDue);
    await attempt("escalate and remind", nudge);
    await attempt("re-evaluate", reevaluate);
    await attempt("run what was granted", runGranted);
    await attempt("end leases", () => orAfter(parts.leases.endDue(), BACKGROUND_WAIT_MS));
    await inBackground("recover", sweep);
    await inBackground("ask again", () => parts.again.sweep());
    await attempt("tidy", tidy);
    await inBackground("erase old records", retain);
    await inBackground("tidy what tools left", tidyTools);
    await attempt("save the snapshot", snapshot);
  };

  const tickOnce = (): Promise<void> => {
    ticking ??= tick().finally(() => {
      ticking = null;
    });
    return ticking;
  };

  const timer = setInterval(() => {
    if (!stopped) void tickOnce();
  }, TICK_MS);

  return {
    tick: tickOnce,
    async stop() {
      stopped = true;
      clearInterval(timer);
      await ticking;
      // A revocation that is cut short is done again by the next steward (X3).
      await orAfter(Promise.all(busy.values()), STOP_WAIT_MS);
    },
  };
}

/** A preview in another process may have stored bytes for a request whose entries are still to come. */
const GRACE_MS = 600_000;
const isOld = (id: RequestId, now: number): boolean => now - idTime(id) > GRACE_MS;

/** Waits for `work`, and at most so many milliseconds. */
async function orAfter(work: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const time = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)));
  await Promise.race([work, time]);
  clearTimeout(timer);
}
