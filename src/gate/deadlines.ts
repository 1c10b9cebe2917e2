import type { Clock } from "../base/clock.ts";
import type { RequestId } from "../base/id.ts";
import type { HomeState } from "./state.ts";

// Wall clock and monotonic clock side by side; whichever comes first expires (design §11, Clock). Whoever sets the
// wall clock back does not lengthen a deadline that a process has been watching.

export interface Deadlines {
  /** Starts the monotonic count for a deadline at `at`, epoch milliseconds. Once is enough. */
  watch(key: string, at: number): void;
  forget(key: string): void;
  /** True once the moment `earlierMs` before `at` has come by either clock. */
  isPast(key: string, at: number, earlierMs?: number): boolean;
}

/** Keys: the deadline of a question, and the end of a grant. */
export const consentKey = (request: string): string => `consent:${request}`;
export const grantKey = (request: string): string => `grant:${request}`;

export function createDeadlines(clock: Clock): Deadlines {
  /** Points on the monotonic clock. */
  const due = new Map<string, number>();
  return {
    watch(key, at) {
      if (!due.has(key)) due.set(key, clock.monotonic() + (at - clock.now()));
    },
    forget: (key) => void due.delete(key),
    isPast: (key, at, earlierMs = 0) =>
      clock.now() >= at - earlierMs ||
      clock.monotonic() >= (due.get(key) ?? Number.POSITIVE_INFINITY) - earlierMs,
  };
}

/** Counts the deadlines of a request that are open now, and none of one that has closed. */
export function watchDeadlines(deadlines: Deadlines, state: HomeState, request: RequestId): void {
  const consent = state.consents.byRequest.get(request);
  const execution = state.executions.open.get(request);
  if (consent === undefined) deadlines.forget(consentKey(request));
  else deadlines.watch(consentKey(request), consent.deadline);
  if (execution === undefined) deadlines.forget(grantKey(request));
  else deadlines.watch(grantKey(request), execution.executeBy);
}
