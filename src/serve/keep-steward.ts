import type { Home } from "../gate/home.ts";

/** How often a process that is not the steward looks whether it can become it. */
const STEWARD_RETRY_MS = 2_000;

/** Tries to be the steward until it is, or until told to stop. */
export function keepSteward(home: Pick<Home, "startSteward" | "log">): () => void {
  let stopped = false;
  const attempt = async (): Promise<void> => {
    if (stopped) return;
    const isSteward = await home.startSteward().catch((error: unknown) => {
      home.log.warn({ err: error }, "could not become the steward");
      return false;
    });
    if (!isSteward && !stopped) setTimeout(() => void attempt(), STEWARD_RETRY_MS).unref();
  };
  void attempt();
  return () => {
    stopped = true;
  };
}
