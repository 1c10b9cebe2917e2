import type { Clock } from "./clock.ts";

/** Asks at most once in `ms`. */
export function cachedFor<T>(ms: number, clock: Clock, read: () => Promise<T>): () => Promise<T> {
  let value: Promise<T> | null = null;
  let readAt = 0;
  return () => {
    if (value === null || clock.monotonic() - readAt > ms) {
      readAt = clock.monotonic();
      value = read();
    }
    return value;
  };
}
