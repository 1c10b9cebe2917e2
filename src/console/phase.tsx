import type { FC } from "hono/jsx";
import type { Phase } from "../request/summary.ts";

/** Each phase in a person's words, and what it feels like. */
export const PHASES: Readonly<Record<Phase, readonly [words: string, tone: Tone]>> = {
  received: ["Received", "quiet"],
  planned: ["Planned", "quiet"],
  held: ["Waiting for people", "wait"],
  granted: ["Approved, about to run", "run"],
  claimed: ["Starting", "run"],
  dispatched: ["Running", "run"],
  done: ["Done", "good"],
  failed: ["Failed, nothing changed", "bad"],
  unknown: ["Outcome unknown", "alarm"],
  refused: ["Refused by policy", "bad"],
  denied: ["Denied", "bad"],
  expired: ["Expired", "quiet"],
  withdrawn: ["Withdrawn", "quiet"],
  stale: ["Stale", "quiet"],
};
export type Tone = "quiet" | "wait" | "run" | "good" | "bad" | "alarm";

/** Where a request stands, in a chip. */
export const PhaseChip: FC<{ phase: Phase }> = ({ phase }) => {
  const [words, tone] = PHASES[phase];
  return <span class={`chip tone-${tone}`}>{words}</span>;
};

/** An environment, marked where it reads like production. */
export const EnvironmentChip: FC<{ name: string }> = ({ name }) => (
  <span class={`chip env${/^prod/i.test(name) ? " env-prod" : ""}`}>{name}</span>
);
