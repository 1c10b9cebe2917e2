import { callCost } from "./call-cost.ts";
import { callPeers } from "./call-peers.ts";
import { callThrough } from "./call-through.ts";
import { coldStart } from "./cold-start.ts";
import { heldCalls } from "./held-calls.ts";
import { benchPolicy } from "./policy.ts";
import type { Bench, BenchRow } from "./rows.ts";
import { storeAppend } from "./store-append.ts";
import { storeOpen } from "./store-open.ts";
import { storeWriters } from "./store-writers.ts";
import { benchVerify } from "./verify.ts";

// Prints one table of everything that has a bar. Ours and its reference run interleaved in the same process, medians
// of several rounds: compare ratios, absolute numbers belong to the machine. `--quick` for a look, a word to filter.

const BENCHES: Readonly<Record<string, Bench>> = {
  policy: benchPolicy,
  "store-append": storeAppend,
  "store-writers": storeWriters,
  "store-open": storeOpen,
  verify: benchVerify,
  "call-cost": callCost,
  "call-through": callThrough,
  "call-peers": callPeers,
  "held-calls": heldCalls,
  "cold-start": coldStart,
};

const words = process.argv.slice(2);
const quick = words.includes("--quick");
const wanted = words.filter((word) => !word.startsWith("--"));

const holds = ({ ratio, bar }: BenchRow): boolean => {
  if (bar === null) return true;
  const limit = Number(bar.slice(3));
  return bar.startsWith("<=") ? ratio <= limit : ratio >= limit;
};

const table: string[][] = [["what", "ours", "reference", "ratio", "bar", ""]];
let missed = 0;
for (const [name, bench] of Object.entries(BENCHES)) {
  if (wanted.length > 0 && !wanted.some((word) => name.includes(word))) continue;
  process.stderr.write(`${name} …\n`);
  for (const row of await bench({ quick })) {
    const ok = holds(row);
    if (!ok) missed += 1;
    table.push([
      row.name,
      row.ours,
      row.reference,
      row.ratio.toFixed(2),
      row.bar ?? "",
      row.bar === null ? "" : ok ? "ok" : "MISSED",
    ]);
  }
}
const widths =
  table[0]?.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0))) ?? [];
for (const line of table) {
  process.stdout.write(
    `${line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd()}\n`,
  );
}
// A missed bar is news, not a broken build, unless somebody asks for it to be.
if (missed > 0 && words.includes("--strict")) process.exitCode = 1;
