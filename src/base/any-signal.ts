import { setMaxListeners } from "node:events";

/** One signal of several, until it is released. */
export interface AnySignal {
  readonly signal: AbortSignal;
  /** Aborts it before any source does. */
  abort(reason?: unknown): void;
  /** Lets go of the sources; what has not been aborted by then stays so. */
  release(): void;
}

/**
 * Aborted with the first of its sources. In place of `AbortSignal.any` where one of them lives on: Node 20 keeps a note
 * of every signal that was made from such a source, for as long as that lives.
 */
export function anySignal(sources: readonly AbortSignal[]): AnySignal {
  const joined = new AbortController();
  // Many calls at once are no leak.
  setMaxListeners(0, ...sources);
  const abort = (event: Event): void => joined.abort((event.target as AbortSignal).reason);
  for (const source of sources) {
    if (source.aborted) joined.abort(source.reason);
    else source.addEventListener("abort", abort);
  }
  return {
    signal: joined.signal,
    abort: (reason) => joined.abort(reason),
    release: () => sources.forEach((source) => source.removeEventListener("abort", abort)),
  };
}
