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

/** The same group commit over plain JSON lines: no lock, no preconditions, no hash, no signature, no fold. */
function plainJsonLines(path: string): { append(batch: Batch): Promise<unknown>; close(): void } {
  const fd = openSync(path, "a");
  let waiting: { text: string; resolve: () => void; reject: (error: Error) => void }[] = [];
  let isRunning = false;
  const run = async (): Promise<void> => {
    isRunning = true;
    while (waiting.length > 0) {
      await setImmediate();
      const group = waiting;
      waiting = [];
      writeSync(fd, group.map(({ text }) => text).join(""));
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
        waiting.push({ text: `${JSON.stringify(batch.entries[0])}\n`, resolve, reject });
        if (!isRunning) void run();
      }),
    close: () => closeSync(fd),
  };
}

/** 100 concurrent writers against unhashed JSON lines with the same group commit; and whether cost grows with the log. */
export const storeWriters: Bench = async ({ quick }) => {
  const { dir, remove } = benchDir();
  try {
    const store = await openBenchStore(dir, true);
    const plain = plainJsonLines(join(dir, "plain.jsonl"));
    const count = quick ? 5_000 : 20_000;
    await perSecond(store.append, benchBatches(count));
    await perSecond(plain.append, benchBatches(count));
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < (quick ? 3 : 5); round += 1) {
      const batches = benchBatches(count);
      theirs.push(await perSecond(plain.append, batches));
      ours.push(await perSecond(store.append, batches));
    }
    plain.close();
    const rows: BenchRow[] = [
      {
        name: "100 writers, appends per second",
        ours: median(ours).toFixed(0),
        reference: `${median(theirs).toFixed(0)} unhashed JSON lines`,
        ratio: median(ours.map((our, i) => our / (theirs[i] as number))),
        bar: ">= 0.7",
      },
    ];
    const early = median(ours);
    const target = quick ? 100_000 : 1_000_000;
    while (store.head().size < target) {
      await perSecond(store.append, benchBatches(Math.min(50_000, target - store.head().size)));
    }
    const late = [];
    for (let round = 0; round < 3; round += 1) late.push(await perSecond(store.append, benchBatches(count)));
    rows.push({
      name: `cost per append at ${target} entries against ${count}`,
      ours: `${(1e6 / median(late)).toFixed(1)} us`,
      reference: `${(1e6 / early).toFixed(1)} us`,
      ratio: early / median(late),
      bar: "<= 1.3",
    });
    await store.close();
    return rows;
  } finally {
    remove();
  }
};
