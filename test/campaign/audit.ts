import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { OpenedHome } from "../../src/compose.ts";
import type { Entry } from "../../src/log/entry.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { effectsIn } from "./line-tool.ts";

/** What one round of deaths left, after recovery. */
export interface Audit {
  readonly entries: number;
  readonly requests: number;
  readonly done: number;
  readonly unknown: number;
  /** Of those, how many the tool could have been asked about. */
  readonly unasked: number;
  /** Dispatches that had no outcome when the recovery began. */
  readonly cutOff: number;
  /** Empty where every rule held. */
  readonly broken: readonly string[];
}

const UNDER_WAY = /^(received|planned|granted|claimed|dispatched)$/;

/** Lets the home recover, then holds the log against the world and against what was acknowledged. */
export async function auditHome(parts: {
  readonly home: OpenedHome;
  readonly world: string;
  /** Status by request, as clients were told. */
  readonly statuses: ReadonlyMap<string, string>;
  /** Requests whose approval was acknowledged. */
  readonly approved: ReadonlySet<string>;
}): Promise<Audit> {
  const { home, world, statuses, approved } = parts;
  const before = await entriesOf(home);
  const earlier = outcomesOf(before);
  const cutOff = new Set(dispatchedOf(before).filter((id) => !earlier.has(id)));
  await home.startSteward();
  const broken: string[] = [];
  const until = Date.now() + 60_000;
  for (;;) {
    const open = home.requests.list(1_000_000).filter(({ phase }) => UNDER_WAY.test(phase));
    if (open.length === 0) break;
    if (Date.now() > until) {
      broken.push(`${open.length} requests did not come to an end: ${open[0]?.id} ${open[0]?.phase}`);
      break;
    }
    await sleep(50);
  }

  const entries = await entriesOf(home);
  const report = await verifyLog(join(home.settings.dataDir, "log"));
  for (const finding of report.findings) {
    if (finding.severity === "fault") broken.push(`the log: ${finding.code} ${finding.message}`);
  }
  const dispatched = dispatchedOf(entries);
  const outcomes = outcomesOf(entries);
  const isDispatched = new Set(dispatched);
  if (isDispatched.size !== dispatched.length) broken.push("a request was dispatched twice");
  const ran = new Map<string, number>();
  for (const { key } of await effectsIn(world)) ran.set(key, (ran.get(key) ?? 0) + 1);
  for (const [id, times] of ran) {
    if (times > 1) broken.push(`${id} ran ${times} times`);
    if (!isDispatched.has(id)) broken.push(`${id} ran and was not dispatched`);
  }
  const summaries = new Map<string, string>();
  for (const entry of entries)
    if (entry.kind === "request.planned") summaries.set(entry.subject, entry.data.summary);
  let [done, unknown, unasked] = [0, 0, 0];
  for (const id of dispatched) {
    const outcome = outcomes.get(id);
    if (outcome === "done") done += 1;
    if (outcome === "unknown") unknown += 1;
    if (outcome === "unknown" && summaries.get(id)?.includes("CANNOT_TELL") !== true) unasked += 1;
    if (outcome === "done" && !ran.has(id)) broken.push(`${id} is done and did not run`);
    if (outcome === "failed" && ran.has(id)) broken.push(`${id} ran and is said to have failed`);
    if (outcome === undefined) broken.push(`${id} was dispatched and has no outcome`);
    // A gateway that survived may have said so already, of one that died before.
    if (outcome === "unknown" && !cutOff.has(id) && earlier.get(id) !== "unknown") {
      broken.push(`${id} is unknown, and was not cut off`);
    }
  }
  const phases = new Map<string, string>(home.requests.list(1_000_000).map(({ id, phase }) => [id, phase]));
  const known: ReadonlySet<string> = new Set(entries.map(({ subject }) => subject));
  for (const [id, status] of statuses) {
    if (!known.has(id)) broken.push(`${id} was acknowledged as ${status} and is lost`);
    else if ((status === "done" || status === "failed") && outcomes.get(id) !== status) {
      broken.push(`${id} was told to be ${status} and is ${String(phases.get(id))}`);
    }
  }
  const decided: ReadonlySet<string> = new Set(
    entries.filter(({ kind }) => kind === "decision.recorded").map((one) => one.subject),
  );
  for (const id of approved) {
    if (!decided.has(id)) {
      broken.push(`the approval of ${id} was acknowledged and is lost`);
    }
  }
  const requests = entries.filter(({ kind }) => kind === "request.received").length;
  return { entries: entries.length, requests, done, unknown, unasked, cutOff: cutOff.size, broken };
}

async function entriesOf(home: OpenedHome): Promise<readonly Entry[]> {
  await home.store.catchUp();
  const entries: Entry[] = [];
  for await (const { bytes } of home.store.lines(0))
    entries.push(JSON.parse(Buffer.from(bytes).toString()) as Entry);
  return entries;
}

const dispatchedOf = (entries: readonly Entry[]): readonly string[] =>
  entries.filter(({ kind }) => kind === "execution.dispatched").map(({ subject }) => subject);

/** The newest outcome that the log gives each request. */
function outcomesOf(entries: readonly Entry[]): ReadonlyMap<string, string> {
  const outcomes = new Map<string, string>();
  for (const entry of entries) {
    if (entry.kind === "execution.settled" || entry.kind === "execution.resolved")
      outcomes.set(entry.subject, entry.data.outcome);
  }
  return outcomes;
}
