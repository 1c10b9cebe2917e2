import type { RequestId } from "../base/id.ts";
import { formatDuration } from "../base/duration.ts";
import { neutralLine } from "../base/text.ts";
import type { OpenQuestion } from "../consent/desk.ts";
import { questionDigest } from "../consent/question.ts";
import { CountersignError, isFault } from "../errors.ts";
import type { Home } from "../gate/home.ts";
import { formatMoment, localZone } from "./moment.ts";
import type { Terminal } from "./terminal.ts";

/**
 * The open question that `reference` names, checked against its own digest.
 * @throws CountersignError `REQUEST_NOT_FOUND`, `REQUEST_AMBIGUOUS`, `LOG_CORRUPT`
 */
export async function openQuestion(home: Home, reference: string): Promise<OpenQuestion> {
  const pending = await findPending(home, reference);
  const open = await home.desk.open(pending);
  // The digest is what gets signed and the question is what gets shown: they have to be the same thing.
  if (questionDigest(open.question) !== open.digest) {
    throw new CountersignError("LOG_CORRUPT", `the question of ${open.request} does not match its digest`, {
      hint: "sign nothing; check the log: countersign log verify",
    });
  }
  return open;
}

async function findPending(home: Home, reference: string): Promise<RequestId> {
  try {
    return home.desk.find(reference).request;
  } catch (error) {
    if (!isFault(error, "REQUEST_NOT_FOUND")) throw error;
    // It may be known and simply not be waiting any more; that is worth saying.
    const known = await home.requests.find(reference).catch(() => null);
    if (known === null) {
      throw new CountersignError("REQUEST_NOT_FOUND", `no request ${neutralLine(reference)}`, {
        hint: "see what waits: countersign pending; see all: countersign requests",
      });
    }
    throw new CountersignError(
      "REQUEST_NOT_FOUND",
      `${known.id} is not waiting for people: it is ${known.phase}`,
      {
        hint: `see it: countersign show ${known.id}`,
      },
    );
  }
}

/** What was granted, and how long it may be begun. */
export interface Granted {
  readonly request: RequestId;
  readonly execute: "on_approval" | "when_attached";
  readonly executeBy: string;
}

/** Nobody runs it, unless a gateway is only being started; a caller that has it open runs it itself. */
const UNSERVED_WAIT_MS = 2_000;

/** Waits a moment for the outcome, so that whoever approved sees what came of it, or why nothing does. */
export async function showOutcome(
  home: Home,
  { request, execute, executeBy }: Granted,
  terminal: Terminal,
  waitMs: number,
): Promise<void> {
  const isServed = await home.hasSteward();
  const settled = await outcomeWithin(home, request, isServed ? waitMs : Math.min(waitMs, UNSERVED_WAIT_MS));
  const { paint } = terminal;
  if (settled === null && !(await home.hasSteward())) {
    const by = formatMoment(Date.parse(executeBy), localZone());
    const runs =
      execute === "on_approval"
        ? `a gateway that is started by ${by} runs it; after that the agent has to ask again`
        : `it runs when the agent is back at a gateway by ${by}; after that it has to ask again`;
    terminal.out(
      `  ${paint.yellow("not run yet")}: no gateway serves this home now. The approval stands: ${runs}`,
    );
    terminal.out(`  start one: countersign start --home ${shellWord(home.settings.home)}`);
    return;
  }
  if (settled === null) {
    const waiting =
      execute === "on_approval" ? "" : "; it runs when the agent that asked is there to get its result";
    terminal.out(
      `  no outcome after ${formatDuration(waitMs)}${waiting}; see it later: countersign show ${request}`,
    );
    return;
  }
  const colour = settled.phase === "done" ? paint.green : paint.red;
  const why = settled.reasonCode === null ? "" : ` (${neutralLine(settled.reasonCode)})`;
  terminal.out(
    `  ${colour(settled.phase)}${why}${settled.summary === null ? "" : `: ${neutralLine(settled.summary)}`}`,
  );
}

const POLL_MS = 200;
const OVER: ReadonlySet<string> = new Set([
  "done",
  "failed",
  "unknown",
  "stale",
  "expired",
  "withdrawn",
  "refused",
  "denied",
]);

async function outcomeWithin(
  home: Home,
  request: RequestId,
  waitMs: number,
): ReturnType<Home["requests"]["find"]> extends Promise<infer S> ? Promise<S | null> : never {
  // Another process executes, so its entries have to be read in; a follower alone would not hear of them.
  for (let left = waitMs; ; left -= POLL_MS) {
    await home.store.catchUp();
    const summary = await home.requests.find(request);
    if (OVER.has(summary.phase)) return summary;
    if (left <= 0) return null;
    await new Promise((resolve) => setTimeout(resolve, Math.min(POLL_MS, left)));
  }
}

/** A path as one word of a shell. */
const shellWord = (path: string): string =>
  /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
