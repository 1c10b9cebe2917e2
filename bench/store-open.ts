import { execFileSync } from "node:child_process";
import { bundleChild } from "../test/support/bundle-child.ts";
import { median, type Bench } from "./rows.ts";
import { benchBatches, benchDir, openBenchStore } from "./store-home.ts";

/** Milliseconds of one open in a process of its own, measured there after its modules have loaded. */
const openOnce = (script: string, dir: string): number =>
  Number(execFileSync(process.execPath, [script, dir], { encoding: "utf8" }));

/** Opening a log of 100,000 entries from its snapshot, against the budget. */
export const storeOpen: Bench = async ({ quick }) => {
  const { dir, remove } = benchDir();
  try {
    const store = await openBenchStore(dir, true);
    for (let left = 100_000; left > 0; left -= 10_000) {
      await Promise.all(benchBatches(10_000).map((batch) => store.append(batch)));
    }
    await store.close();
    const script = await bundleChild(new URL("store-open-child.ts", import.meta.url), dir);
    const times = Array.from({ length: quick ? 3 : 9 }, () => openOnce(script, dir));
    return [
      {
        name: "open at 100,000 entries with a snapshot",
        ours: `${median(times).toFixed(1)} ms`,
        reference: "50 ms budget",
        ratio: median(times) / 50,
        bar: "<= 1",
      },
    ];
  } finally {
    remove();
  }
};
