import type { RequestId } from "../base/id.ts";

/** Wakes those who wait for a request to move. */
export interface Wakeups {
  /**
   * Resolves when an entry about the request became durable, the time is up, or the signal aborts. Without a time it
   * keeps no process alive.
   */
  changed(request: RequestId, timeoutMs: number | null, signal: AbortSignal): Promise<void>;
  wake(request: RequestId): void;
}

export function createWakeups(): Wakeups {
  const waiting = new Map<RequestId, Set<() => void>>();
  return {
    changed: (request, timeoutMs, signal) =>
      new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener("abort", done);
          const others = waiting.get(request);
          others?.delete(done);
          if (others?.size === 0) waiting.delete(request);
          resolve();
        };
        const timer =
          timeoutMs === null ? undefined : setTimeout(done, Math.max(0, Math.min(timeoutMs, 2 ** 31 - 1)));
        if (signal.aborted) {
          done();
          return;
        }
        signal.addEventListener("abort", done, { once: true });
        const others = waiting.get(request);
        if (others === undefined) waiting.set(request, new Set([done]));
        else others.add(done);
      }),
    wake(request) {
      for (const done of [...(waiting.get(request) ?? [])]) done();
    },
  };
}
