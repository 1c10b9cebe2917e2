import { closeSync, fdatasync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Batch } from "../src/store/store.ts";
import { median, type Bench, type BenchRow } from "./rows.ts";
import { benchBatches, benchDir, openBenchStore } from "./store-home.ts";

const WRITERS = 100;

/** Durable appends per second of 100 callers, each waiting for its own before the next. */
async function perSecond(
  append: (batch: Batch) => Promise<unknown>,
  batches: readonly Batch[],
): Promise<number> {
  let next = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: WRITERS }, async () => {
      for (let batch = batches[next++]; batch !== undefined; batch = batches[next++]) await append(batch);
    }),
  );
  return (batches.length / (performance.now() - start)) * 1_000;
}

/**
 * The same lines, written by the same kind of group commit: a number and a time are given when the group is written, and
 * all of it waits for one flush. No lock, no preconditions, no hash, no signature, no fold.
 */
function plainJsonLines(path: string): { append(batch: Batch): Promise<unknown>; close(): void } {
  const fd = openSync(path, "a");
  let waiting: { rest: string; resolve: () => void; reject: (error: Error) => void }[] = [];
  let seq = 0;
  let isRunning = false;
  const run = async (): Promise<void> => {
    isRunning = true;
    while (waiting.length > 0) {
      await setImmediate();
      const group = waiting;
      waiting = [];
      const time = new Date().toISOString();
      writeSync(fd, group.map(({ rest }) => `{"v":1,"seq":${seq++},"time":"${time}",${rest}`).join(""));
      const error = await new Promise<Error | null>((resolve) => fdatasync(fd, resolve));
      for (const { resolve, reject } of group) {
        if (error === null) resolve();
        else reject(error);
      }
    }
    isRunning = false;
  };
  return {
    append: (batch) =>
      new Promise<void>((resolve, reject) => {
        waiting.push({ rest: `${JSON.stringify(batch.entries[0]).slice(1)}\n`, resolve, reject });
        if (!isRunning) void run();
      }),
    close: () => closeSync(fd),
  };
}

/** 100 concurrent writers against unhashed JSON lines with the same group commit. */
async function againstPlainLines(count: number, rounds: number): Promise<BenchRow> {
  const { dir, remove } = benchDir();
  try {
    const store = await openBenchStore(dir, true);
    const plain = plainJsonLines(join(dir, "plain.jsonl"));
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      // Each gets batches that nobody has encoded yet, and now the one, now the other collects what both have left.
      const sides = [
        { append: plain.append, rates: theirs },
        { append: store.append, rates: ours },
      ];
      for (const { append, rates } of round % 2 === 0 ? sides : sides.reverse()) {
        const batches = benchBatches(count);
        rates.push(await perSecond(append, batches));
      }
    }
    plain.close();
    await store.close();
    // The first round warms up.
    const ratios = ours.map((our, i) => our / (theirs[i] as number)).slice(1);
    return {
      name: "100 writers, appends per second",
      ours: median(ours.slice(1)).toFixed(0),
      reference: `${median(theirs.slice(1)).toFixed(0)} as unhashed JSON lines`,
      ratio: median(ratios),
      bar: ">= 0.7",
    };
  } finally {
    remove();
  }
}

/** The cost of an append in a large log against that in a small one, in turns. */
async function againstSmallLog(size: number, rounds: number): Promise<BenchRow> {
  const { dir, remove } = benchDir();
  try {
    const large = await openBenchStore(join(dir, "large"), true);
    while (large.head().size < size) {
      await perSecond(large.append, benchBatches(Math.min(20_000, size - large.head().size)));
    }
    const small = await openBenchStore(join(dir, "small"), true);
    const inLarge: number[] = [];
    const inSmall: number[] = [];
    for (let round = 0; round <= rounds; round += 1) {
      inSmall.push(1e6 / (await perSecond(small.append, benchBatches(1_000))));
      inLarge.push(1e6 / (await perSecond(large.append, benchBatches(1_000))));
    }
    await small.close();
    await large.close();
    return {
      name: `one of 100 appends, log of ${size} entries`,
      ours: `${median(inLarge.slice(1)).toFixed(1)} us`,
      reference: `${median(inSmall.slice(1)).toFixed(1)} us in a log of ${small.head().size}`,
      ratio: median(inLarge.map((cost, i) => cost / (inSmall[i] as number)).slice(1)),
      bar: "<= 1.3",
    };
  } finally {
    remove();
  }
}

/** Throughput of 100 concurrent writers, and whether its cost grows with the log. */
export const storeWriters: Bench = async ({ quick }) => [
  await againstPlainLines(quick ? 5_000 : 20_000, quick ? 3 : 5),
  await againstSmallLog(quick ? 100_000 : 1_000_000, quick ? 9 : 21),
];
