import { anySignal, type AnySignal } from "../../base/any-signal.ts";

/** The calls that somebody waits for here, so that whoever stops the gateway can end their waits and wait for them. */
export interface CallsUnderWay {
  /**
   * What `answer` gives, whose signal is aborted when nobody waits for it any more: with the first of `sources`, or when
   * the gateway stops.
   */
  run<T>(sources: readonly AbortSignal[], answer: (signal: AbortSignal) => Promise<T>): Promise<T>;
  /** Ends every wait, those of later calls included: held calls get their tickets. */
  stop(): void;
  /** Resolves when no call is under way. */
  settled(): Promise<void>;
}

/**
 * Made once for all connections. Its calls do not listen to one signal of the gateway's: each listener that is added to
 * a signal looks through those that are there, and there may be ten thousand held calls.
 */
export function createCallsUnderWay(): CallsUnderWay {
  const calls = new Map<AnySignal, Promise<unknown>>();
  let isStopping = false;
  return {
    async run(sources, answer) {
      const there = anySignal(sources);
      if (isStopping) there.abort();
      const work = answer(there.signal);
      calls.set(there, work);
      try {
        return await work;
      } finally {
        calls.delete(there);
        there.release();
      }
    },
    stop() {
      isStopping = true;
      for (const call of calls.keys()) call.abort();
    },
    async settled() {
      while (calls.size > 0) await Promise.allSettled(calls.values());
    },
  };
}
