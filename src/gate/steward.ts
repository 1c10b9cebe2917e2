import { idTime, newId, type RequestId } from "../base/id.ts";
import type { LeaseKeeper } from "../execution/lease.ts";
import type { Recovery } from "../execution/recover.ts";
import { staleEntry } from "../execution/execution.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { Attend } from "./attend.ts";
import { createExpire } from "./expire.ts";
import type { GateParts } from "./parts.ts";
import { whyStale } from "./recheck.ts";

// The one process of a home that owns timers: it fires deadlines, runs what was granted while nobody was attached,
// recovers what a dead process left, ends leases, re-evaluates after an adoption, erases sealed bytes of ended
// requests, writes snapshots. Without one nothing is lost: expiry is enforced at every use.

const TICK_MS = 500;
const SWEEP_EVERY_MS = 5_000;
const SNAPSHOT_EVERY_MS = 30_000;
/** The attached process goes first: it can hand the unmasked result over. */
const ATTACHED_FIRST_MS = 400;

export interface StewardParts extends GateParts {
  readonly recovery: Recovery;
  readonly leases: LeaseKeeper;
  readonly attend: Attend;
  /** Looks at the policy file; adopts or reports it (P6). */
  checkFiles(): Promise<void>;
  writeSnapshot(): Promise<void>;
  /** Requests that have sealed bytes on disk. */
  sealedRequests(): Promise<readonly RequestId[]>;
}

export interface Steward {
  /** Does what is due now. */
  tick(): Promise<void>;
  stop(): Promise<void>;
}

export function startSteward(parts: StewardParts): Steward {
  const expire = createExpire(parts);
  let regimeSeq = -1;
  let sweptAt = Number.NEGATIVE_INFINITY;
  let savedAt = parts.clock.monotonic();
  let savedSize = parts.store.head().size;
  let ticking: Promise<void> | null = null;
  let stopped = false;

  const expireDue = async (): Promise<void> => {
    const now = parts.clock.now();
    for (const consent of [...parts.state.consents.byRequest.values()]) {
      if (consent.settled === null && now >= consent.deadline) await expire(consent.request);
    }
    for (const execution of [...parts.state.executions.open.values()]) {
      if (execution.status !== "dispatched" && now >= execution.executeBy) await expire(execution.request);
    }
  };

  /** C2, P6: after an adoption every open question is asked again of the policy; another answer makes it stale. */
  const reevaluate = async (): Promise<void> => {
    const regime = parts.regime.current();
    if (regime.seq === regimeSeq) return;
    regimeSeq = regime.seq;
    for (const record of [...parts.state.requests.open.values()]) {
      if (record.phase !== "held") continue;
      const stale = await whyStale(parts, record);
      if (stale === null) continue;
      await parts.store.append({
        expect: [{ subject: record.id, newest: record.newestSeq }],
        newKeys: [],
        entries: [staleEntry(record, regime.policy.revision, stale.message, parts.clock.now(), stale.why)],
      });
      parts.log.info({ requestId: record.id, why: stale.why }, "open request became stale");
    }
  };

  const runGranted = (): void => {
    const now = parts.clock.now();
    for (const execution of parts.state.executions.open.values()) {
      if (execution.status !== "granted" || now - execution.grantedAt < ATTACHED_FIRST_MS) continue;
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

  /** Sealed bytes live until the request and its leases end; then their key is gone. */
  const eraseEnded = async (): Promise<void> => {
    const leased = new Set([...parts.state.executions.leases.values()].map((lease) => lease.opened.request));
    const ended = (await parts.sealedRequests()).filter(
      (id) => !parts.state.requests.open.has(id) && !leased.has(id) && isOld(id, parts.clock.now()),
    );
    if (ended.length === 0) return;
    for (const id of ended) await parts.store.blobs.eraseSealed(id);
    await parts.store.append({
      expect: [],
      newKeys: [],
      entries: ended.slice(0, 500).map((id) => ({
        kind: "blob.erased",
        subject: `erasure:${id}`,
        policy: null,
        data: { digest: null, why: "the request ended", request: id },
      })),
    });
  };

  const sweep = async (): Promise<void> => {
    const now = parts.clock.monotonic();
    if (now - sweptAt < SWEEP_EVERY_MS) return;
    sweptAt = now;
    for (const request of await parts.recovery.sweep()) {
      await parts.executor.run(request, () => undefined, { takeOver: true });
    }
    await eraseEnded();
    await noteThrottled();
  };

  const snapshot = async (): Promise<void> => {
    const now = parts.clock.monotonic();
    if (now - savedAt < SNAPSHOT_EVERY_MS || parts.store.head().size === savedSize) return;
    savedAt = now;
    savedSize = parts.store.head().size;
    await parts.writeSnapshot();
  };

  const tick = async (): Promise<void> => {
    await parts.store.catchUp();
    await parts.checkFiles();
    await parts.regime.refresh();
    await expireDue();
    await reevaluate();
    runGranted();
    await parts.leases.endDue();
    await sweep();
    await snapshot();
  };

  const tickOnce = (): Promise<void> => {
    ticking ??= tick()
      .catch((error: unknown) => parts.log.error({ err: error }, "steward could not finish its round"))
      .finally(() => {
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
    },
  };
}

/** A preview in another process may have stored bytes for a request whose entries are still to come. */
const GRACE_MS = 600_000;
const isOld = (id: RequestId, now: number): boolean => now - idTime(id) > GRACE_MS;
