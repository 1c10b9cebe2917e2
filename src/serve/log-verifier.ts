import { timestamp } from "../base/clock.ts";
import type { OperationsLog } from "../execution/execution.ts";
import type { LogReport } from "../log/verify-log.ts";
import type { VerificationState } from "../transport/http/verification.ts";

// Reads the whole log again, now and then, away from the event loop, and says what it found. It tells an operator of a
// disk that lies or a file that was edited; it proves nothing to somebody who doubts the gateway itself.

export interface LogVerifierParts {
  /** One look at the whole log, elsewhere; ends early where the signal says so. */
  run(signal: AbortSignal): Promise<Pick<LogReport, "ok" | "entries" | "bytes" | "findings">>;
  now(): number;
  readonly log: OperationsLog;
  readonly firstAfterMs?: number;
  readonly everyMs?: number;
}

export interface LogVerifier {
  state(): VerificationState;
  start(): void;
  stop(): Promise<void>;
}

const FIRST_AFTER_MS = 1_000;
const EVERY_MS = 10 * 60_000;
/** A log that takes long is looked at less often: at most so much of the time is spent on it. */
const IDLE_TIMES = 20;
const MOST_FINDINGS = 20;

export function createLogVerifier(parts: LogVerifierParts): LogVerifier {
  const { now, log, firstAfterMs = FIRST_AFTER_MS, everyMs = EVERY_MS } = parts;
  const stopping = new AbortController();
  let last: VerificationState["last"] = null;
  let startedAt: number | null = null;
  let nextAt: number | null = null;
  let timer: NodeJS.Timeout | null = null;
  let running: Promise<void> = Promise.resolve();

  const look = async (): Promise<void> => {
    const began = now();
    startedAt = began;
    nextAt = null;
    try {
      const { ok, entries, bytes, findings } = await parts.run(stopping.signal);
      last = {
        state: ok ? "ok" : "failed",
        at: timestamp(now()),
        tookMs: Math.max(0, now() - began),
        size: entries,
        bytes,
        findings: findings.slice(0, MOST_FINDINGS).map(({ code, severity, message, seq }) => ({
          ...{ code, severity, message, seq },
        })),
        error: null,
      };
      if (!ok)
        log.error({ findings: last.findings }, "the log does not verify; keep a copy of it as evidence");
    } catch (error) {
      if (stopping.signal.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      const size = last?.size ?? 0;
      last = {
        ...{ state: "error", at: timestamp(now()), tookMs: Math.max(0, now() - began), size },
        ...{ bytes: last?.bytes ?? 0, findings: [], error: message },
      };
      log.warn({ err: error }, "the log could not be verified in the background");
    } finally {
      startedAt = null;
    }
    again(Math.max(everyMs, IDLE_TIMES * Math.max(0, now() - began)));
  };

  const again = (afterMs: number): void => {
    if (stopping.signal.aborted) return;
    nextAt = now() + afterMs;
    timer = setTimeout(() => {
      running = look();
    }, afterMs);
    timer.unref();
  };

  return {
    state: () => ({
      state: startedAt === null ? (last?.state ?? "never") : "running",
      last,
      startedAt: startedAt === null ? null : timestamp(startedAt),
      nextAt: nextAt === null ? null : timestamp(nextAt),
    }),
    start: () => again(firstAfterMs),
    async stop() {
      stopping.abort();
      if (timer !== null) clearTimeout(timer);
      await running;
    },
  };
}
