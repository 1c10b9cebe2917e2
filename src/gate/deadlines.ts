import type { Clock } from "../base/clock.ts";
import type { RequestId } from "../base/id.ts";
import type { HomeState } from "./state.ts";

// Wall clock and monotonic clock side by side; whichever comes first expires (design §11, Clock). Whoever sets the
// wall clock back does not lengthen a deadline that a process has been watching.

/** The deadline of a question, and the end of a grant. */
export type DeadlineKind = "consent" | "grant";

export interface Deadlines {
  /** Starts the monotonic count for a deadline at `at`, epoch milliseconds. Once is enough. */
  watch(kind: DeadlineKind, request: RequestId, at: number): void;
  forget(kind: DeadlineKind, request: RequestId): void;
  /** True once the moment `earlierMs` before `at` has come by either clock. */
  isPast(kind: DeadlineKind, request: RequestId, at: number, earlierMs?: number): boolean;
  /**
   * The watched requests whose time has come by either clock; `at` has the time of one, or undefined where it has none
   * any more. While the earliest of all has not come, none is looked at.
   */
  due(kind: DeadlineKind, at: (request: RequestId) => number | undefined): readonly RequestId[];
}

interface Watched {
  /** Points on the monotonic clock. */
  readonly due: Map<RequestId, number>;
  /** No request that still has a deadline has an earlier one, by the wall clock and by the monotonic. */
  earliest: { wall: number; monotonic: number };
}

export function createDeadlines(clock: Clock): Deadlines {
  const never = (): Watched["earliest"] => ({
    wall: Number.POSITIVE_INFINITY,
    monotonic: Number.POSITIVE_INFINITY,
  });
  const watched: Readonly<Record<DeadlineKind, Watched>> = {
    consent: { due: new Map(), earliest: never() },
    grant: { due: new Map(), earliest: never() },
  };
  const lower = ({ earliest }: Watched, wall: number, monotonic: number): void => {
    earliest.wall = Math.min(earliest.wall, wall);
    earliest.monotonic = Math.min(earliest.monotonic, monotonic);
  };
  const isPast: Deadlines["isPast"] = (kind, request, at, earlierMs = 0) =>
    clock.now() >= at - earlierMs ||
    clock.monotonic() >= (watched[kind].due.get(request) ?? Number.POSITIVE_INFINITY) - earlierMs;

  return {
    isPast,
    watch(kind, request, at) {
      const of = watched[kind];
      if (of.due.has(request)) return;
      const monotonic = clock.monotonic() + (at - clock.now());
      of.due.set(request, monotonic);
      lower(of, at, monotonic);
    },
    forget: (kind, request) => void watched[kind].due.delete(request),
    due(kind, atOf) {
      const of = watched[kind];
      if (clock.now() < of.earliest.wall && clock.monotonic() < of.earliest.monotonic) return [];
      // What is due counts on: where ending it comes to nothing, it is due the next time too.
      of.earliest = never();
      const due: RequestId[] = [];
      for (const [request, monotonic] of of.due) {
        const at = atOf(request);
        if (at === undefined) continue;
        lower(of, at, monotonic);
        if (isPast(kind, request, at)) due.push(request);
      }
      return due;
    },
  };
}

/** Counts the deadlines of a request that are open now, and none of one that has closed. */
export function watchDeadlines(deadlines: Deadlines, state: HomeState, request: RequestId): void {
  const consent = state.consents.byRequest.get(request);
  const execution = state.executions.open.get(request);
  if (consent === undefined) deadlines.forget("consent", request);
  else deadlines.watch("consent", request, consent.deadline);
  if (execution === undefined) deadlines.forget("grant", request);
  else deadlines.watch("grant", request, execution.executeBy);
}
