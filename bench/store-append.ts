import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { systemFiles, type Files } from "../src/store/embedded/files.ts";
import type { Batch } from "../src/store/store.ts";
import { median, type Bench, type BenchRow } from "./rows.ts";
import { benchBatches, benchDir, openBenchStore } from "./store-home.ts";

const LINE = Buffer.from(`${"x".repeat(2_047)}\n`);

/** A flush that takes `extraMs` longer than this disk's: a laptop's takes about 4 ms. */
const slower =
  (extraMs: number): Files["flush"] =>
  async (fd) => {
    await systemFiles.flush(fd);
    if (extraMs > 0) await setTimeout(extraMs);
  };

/** Milliseconds of each of `count` bare appends: a write, and an fdatasync that does not block the event loop either. */
async function bareAppends(path: string, count: number, flush: Files["flush"]): Promise<number[]> {
  const fd = openSync(path, "a");
  try {
    const times: number[] = [];
    for (let i = 0; i < count; i += 1) {
      const start = performance.now();
      writeSync(fd, LINE);
      await flush(fd);
      times.push(performance.now() - start);
    }
    return times;
  } finally {
    closeSync(fd);
  }
}

async function ourAppends(
  append: (batch: Batch) => Promise<unknown>,
  batches: readonly Batch[],
): Promise<number[]> {
  const times: number[] = [];
  for (const batch of batches) {
    const start = performance.now();
    await append(batch);
    times.push(performance.now() - start);
  }
  return times;
}

async function compare(
  name: string,
  extraMs: number,
  count: number,
  bar: BenchRow["bar"],
): Promise<BenchRow> {
  const { dir, remove } = benchDir();
  const flush = slower(extraMs);
  try {
    const store = await openBenchStore(dir, true, { ...systemFiles, flush });
    const ours: number[] = [];
    const bare: number[] = [];
    await ourAppends(store.append, benchBatches(count));
    for (let round = 0; round < 7; round += 1) {
      bare.push(median(await bareAppends(join(dir, "bare"), count, flush)));
      ours.push(median(await ourAppends(store.append, benchBatches(count))));
    }
    await store.close();
    return {
      name,
      ours: `${median(ours).toFixed(3)} ms`,
      reference: `${median(bare).toFixed(3)} ms write + fdatasync`,
      ratio: median(ours.map((our, i) => our / (bare[i] as number))),
      bar,
    };
  } finally {
    remove();
  }
}

/** One durable append (lock, precondition, tree, signed checkpoint, fold) against a bare append. */
export const storeAppend: Bench = async ({ quick }) => [
  await compare("one durable append, p50", 0, quick ? 200 : 600, "<= 1.8"),
  await compare("the same where a flush takes 4 ms more", 4, quick ? 20 : 60, "<= 1.1"),
];
