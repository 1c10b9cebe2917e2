import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../test/support/world.ts";
import { median, type Bench } from "./rows.ts";

// What many held calls cost: memory for each, and the time from a decision to the start of what it allowed.

const AT_ONCE = 50;

/** Bytes of live heap. */
function heapNow(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

/** The least of a second: what is being written or sent meanwhile is not what a held call keeps. */
async function heapAtRest(): Promise<number> {
  const seen: number[] = [];
  for (let i = 0; i < 5; i += 1) {
    await setTimeout(200);
    seen.push(heapNow());
  }
  return Math.min(...seen);
}

async function hold(world: World, count: number): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) {
      ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: `held ${i}` }));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
}

/** Milliseconds from a counted approval to the tool's start, for callers that wait. */
async function starts(world: World, count: number, label: string): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const args = { book: "ledger", text: `${label} ${i}` };
    const ticket = ticketOf(await callTool(world.home, "write_note", args));
    const reply = world.home.gate.wait(ticket, CALLER, {
      signal: new AbortController().signal,
      holdMs: 30_000,
    });
    let startedAt = 0;
    Object.assign(world.notes.runs, {
      push: () => {
        startedAt = performance.now();
        return 0;
      },
    });
    await decide(world, world.home, ticket, "ben");
    const decidedAt = performance.now();
    await reply;
    times.push(Math.max(0, startedAt - decidedAt));
  }
  return times;
}

const p99 = (times: readonly number[]): number =>
  [...times].sort((a, b) => a - b)[Math.ceil(times.length * 0.99) - 1] ?? Number.NaN;

/** Milliseconds that anybody else waited at most while the snapshot was written. */
async function holdUpOfSnapshot(world: World): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await world.home.store.writeSnapshot();
  delay.disable();
  return delay.max / 1e6;
}

/** Milliseconds to make the list of what waits for people. */
function listing(world: World): number {
  const began = performance.now();
  world.home.desk.pending();
  return performance.now() - began;
}

/** Heap for each held call, and how soon a decision starts its call, with none and with many held. */
export const heldCalls: Bench = async ({ quick }) => {
  const count = quick ? 1_000 : 10_000;
  const many = 1e9;
  const options = {
    steward: true,
    limits: {
      ...{ heldPerMinute: many, readsPerMinute: many, previewsPerHour: many, openRequests: many },
      previewsAtOnce: AT_ONCE,
      blobBytesPerDay: 1e12,
    },
  };
  const world = await makeWorld(options);
  const empty = await makeWorld(options);
  try {
    const samples = quick ? 20 : 200;
    for (const one of [world, empty]) await starts(one, 20, "warm");
    // What is compiled and laid out once is no held call's.
    await hold(world, 300);
    const before = await heapAtRest();
    await hold(world, count);
    const each = ((await heapAtRest()) - before) / count;
    // In turns, so that what else the machine does falls on both.
    const among: number[] = [];
    const alone: number[] = [];
    for (let i = 0; i < samples; i += 1) {
      alone.push(...(await starts(empty, 1, `alone ${i}`)));
      among.push(...(await starts(world, 1, `among ${i}`)));
    }
    const holdUps: number[] = [];
    const lists: number[] = [];
    for (let i = 0; i < 5; i += 1) {
      holdUps.push(await holdUpOfSnapshot(world));
      lists.push(listing(world));
    }
    const held = `${count.toLocaleString("en")} held`;
    return [
      {
        name: `heap for each call, ${held}`,
        ours: `${(each / 1024).toFixed(2)} KB`,
        reference: "2 KB budget",
        ratio: each / 2048,
        bar: "<= 1",
      },
      {
        name: `decision to start of the tool, p99, ${held}`,
        ours: `${p99(among).toFixed(1)} ms`,
        reference: `20 ms budget; ${p99(alone).toFixed(1)} ms with none held`,
        ratio: p99(among) / 20,
        bar: "<= 1",
      },
      {
        name: `the same, p50`,
        ours: `${median(among).toFixed(1)} ms`,
        reference: `${median(alone).toFixed(1)} ms with none held`,
        ratio: median(among) / median(alone),
        bar: "<= 1.3",
      },
      ...(
        [
          [`longest hold-up while the snapshot is written, ${held}`, holdUps],
          [`to list what waits for people, ${held}`, lists],
        ] as const
      ).map(([name, times]) => ({
        name,
        ours: `${median(times).toFixed(1)} ms`,
        reference: "20 ms budget",
        ratio: median(times) / 20,
        bar: null,
      })),
    ];
  } finally {
    await world.close();
    await empty.close();
  }
};
