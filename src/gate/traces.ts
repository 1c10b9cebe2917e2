import type { RequestId } from "../base/id.ts";

// Which trace a request belongs to, for the server that it is passed on to. A claim that changes nothing of what runs: it
// is kept in memory, by the process that took the call, and in no entry (P2, D1).

export interface Traces {
  keep(request: RequestId, trace: string): void;
  of(request: RequestId): string | undefined;
}

const MOST = 10_000;

export function createTraces(): Traces {
  const kept = new Map<RequestId, string>();
  return {
    keep(request, trace) {
      kept.set(request, trace);
      for (const oldest of kept.keys()) {
        if (kept.size <= MOST) break;
        kept.delete(oldest);
      }
    },
    of: (request) => kept.get(request),
  };
}
