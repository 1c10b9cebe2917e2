export interface Pool {
  /** Resolves when there is room; the task may still be running. */
  add(task: () => Promise<void>): Promise<void>;
  /** Resolves when all are over. */
  drain(): Promise<void>;
}

/** Runs at most `limit` tasks at once; the first failure is thrown by the next `add` or by `drain`. */
export function createPool(limit: number): Pool {
  const running = new Set<Promise<void>>();
  let failed: { readonly error: unknown } | undefined;
  return {
    async add(task) {
      while (running.size >= limit) await Promise.race(running);
      if (failed !== undefined) throw failed.error;
      const promise: Promise<void> = task()
        .catch((error: unknown) => {
          failed ??= { error };
        })
        .finally(() => running.delete(promise));
      running.add(promise);
    },
    async drain() {
      await Promise.all(running);
      if (failed !== undefined) throw failed.error;
    },
  };
}
