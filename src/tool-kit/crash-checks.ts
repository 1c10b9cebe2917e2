import { setTimeout as sleep } from "node:timers/promises";
import { NoEffect, type ToolPreview } from "../tool.ts";
import { demand, exactly, Skip, type Check } from "./contract-checks.ts";
import { watchDescendants } from "./descendants.ts";
import { openSession, type Session } from "./session.ts";
import type { ToolWorld } from "./world.ts";

/** More progress lines than this, and the kit stops counting. */
const MAX_STEPS = 40;
const ABORT_AFTER_MS = [0, 5, 20, 60, 150, 400];
/** Milliseconds after an abort by which everything has to be over. */
const STOP_MS = 10_000;

export const crashChecks: readonly Check[] = [
  {
    name: "T5 killed at any step, reconcile never says what is not so, and the tool works again afterwards",
    async run(world) {
      if (world.executeAndDie === undefined)
        throw new Skip("the world can't run the tool in a process of its own");
      const { before, after } = await twoStates(world);
      const answers: string[] = [];
      for (let step = 0; step < MAX_STEPS; step += 1) {
        await world.reset();
        const session = await openSession(world);
        const preview = await session.preview();
        const job = { plan: preview.plan, files: preview.files ?? [], requestId: session.requestId };
        const end = await world.executeAndDie(job, step);
        if (end.kind === "ended") {
          demand(step > 0, "the tool reports no progress, so it can't be killed between its steps");
          return answers.join(" ");
        }
        answers.push(await judge(world, session, preview, { before, after }));
        await mustWorkAgain(world);
      }
      return answers.join(" ");
    },
  },
  {
    name: "T5 stopped at any time, a preview ends, leaves no process and changes nothing",
    async run(world) {
      const before = await exactly(world);
      for (const ms of ABORT_AFTER_MS) {
        const session = await openSession(world);
        await stopAfter(ms, async (signal) => {
          await session.preview(signal).catch(() => undefined);
        });
        demand((await exactly(world)) === before, `stopped after ${ms} ms, the target changed`);
      }
      return undefined;
    },
  },
  {
    name: "T5 stopped at any time, an execution ends, leaves no process, and what it says is so",
    async run(world) {
      const { before, after } = await twoStates(world);
      const answers: string[] = [];
      for (const ms of ABORT_AFTER_MS) {
        await world.reset();
        const session = await openSession(world);
        const preview = await session.preview();
        let answer = "";
        await stopAfter(ms, async (signal) => {
          answer = await session.execute(preview, { signal }).then(
            () => "done",
            (error: unknown) => (error instanceof NoEffect ? "no_effect" : "unknown"),
          );
        });
        const now = await world.snapshot();
        if (answer === "done")
          demand(now === after, `stopped after ${ms} ms it said done, and the target is not so`);
        if (answer === "no_effect")
          demand(now === before, `stopped after ${ms} ms it said NoEffect, and the target changed`);
        if (answer === "unknown") answer = await judge(world, session, preview, { before, after });
        answers.push(answer);
        await mustWorkAgain(world);
      }
      return answers.join(" ");
    },
  },
];

interface States {
  readonly before: string;
  readonly after: string;
}

/** The target before and after one whole run. Both are the same in every run, or the world is no good for this. */
async function twoStates(world: ToolWorld): Promise<States> {
  const states: States[] = [];
  for (let i = 0; i < 2; i += 1) {
    await world.reset();
    const before = await world.snapshot();
    const session = await openSession(world);
    await session.execute(await session.preview());
    states.push({ before, after: await world.snapshot() });
  }
  const [first, second] = states as [States, States];
  demand(first.before === second.before, "the world's reset gives another target each time");
  demand(first.after === second.after, "the world's snapshot differs between two runs of the same change");
  return first;
}

async function judge(
  world: ToolWorld,
  session: Session,
  preview: ToolPreview,
  states: States,
): Promise<string> {
  if (!session.tool.canReconcile) return "unknown";
  const answer = await (await openSession(world)).reconcile(preview);
  const now = await world.snapshot();
  if (answer === "done") demand(now === states.after, "reconcile says done, and the target is not so");
  if (answer === "not_done") demand(now === states.before, "reconcile says not_done, and the target changed");
  return answer;
}

/** What a crash left behind stands in nobody's way. */
async function mustWorkAgain(world: ToolWorld): Promise<void> {
  const session = await openSession(world);
  await session.execute(await session.preview());
}

async function stopAfter(ms: number, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const stop = new AbortController();
  const descendants = watchDescendants();
  const working = work(stop.signal);
  await Promise.race([sleep(ms), working]);
  stop.abort();
  const ended = await Promise.race([working.then(() => true), sleep(STOP_MS, false)]);
  const alive = await descendants.survivors(1_000);
  demand(ended, `stopped after ${ms} ms, it had not ended ${STOP_MS} ms later`);
  demand(
    alive === null || alive.length === 0,
    `stopped after ${ms} ms, processes are left: ${String(alive)}`,
  );
}
