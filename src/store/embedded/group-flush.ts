/**
 * Flushes of one file for whoever wrote to it: everybody who asks before a flush begins shares it, and it covers what
 * was written until then.
 */
export function createGroupFlush(flush: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | null = null;
  let next: Promise<void> | null = null;
  const begin = (): Promise<void> => {
    next = null;
    const work = flush().finally(() => {
      if (running === work) running = null;
    });
    running = work;
    return work;
  };
  // Those that write in one go share the first one; those that come while one is under way, the one after it.
  return () => (next ??= (running === null ? Promise.resolve() : running.catch(() => undefined)).then(begin));
}
