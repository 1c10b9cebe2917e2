// A tool is told by its signal that its time is up. One that does not listen is not waited for: what it does from then
// on is not known, and nobody else may be kept waiting for it.

/** Milliseconds a tool has to come to an end after it was told to stop. */
export const GRACE_MS = 2_000;

/** The tool went on after its time was up: what it does is not known. */
export class TimeIsUp extends Error {
  override readonly name = "TimeIsUp";
}

/** What `work` gives, or TimeIsUp where it has not ended a moment after `signal` was aborted. */
export async function withinTime<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  let stop = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    stop = () => {
      timer = setTimeout(() => reject(new TimeIsUp("the tool did not end when its time was up")), GRACE_MS);
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}
