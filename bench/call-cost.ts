import { rmSync } from "node:fs";
import { newId } from "../src/base/id.ts";
import type { EntryDraft } from "../src/log/entry.ts";
import { callTool, decide, makeWorld, ticketOf, type World } from "../test/support/world.ts";
import { median, type Bench, type BenchRow } from "./rows.ts";

// Does a call get dearer as the record grows? The same calls on homes with short and long logs, interleaved. Everything
// is real: policy, preview, blobs, the durable batches, the tool.

const CALLS = 60;

/** Entries like those of ended requests, so that the log is long and the state is not. */
async function fill(world: World, entries: number): Promise<void> {
  const { store } = world.home;
  const batch = 2_000;
  while (store.head().size < entries) {
    const drafts = Array.from({ length: Math.min(batch, entries - store.head().size) }, (): EntryDraft => ({
      kind: "throttled",
      subject: `throttle:${newId("req", Date.now())}`,
      policy: null,
      data: { principal: "ana", agent: "claude", count: 1, limit: "x".repeat(400) },
    }));
    await store.append({ expect: [], newKeys: [], entries: drafts });
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

export const callCost: Bench = async ({ quick }) => {
  const sizes = quick ? [1_000, 20_000] : [1_000, 100_000, 1_000_000];
  const worlds: { size: number; world: World; read: number[]; write: number[]; held: number[] }[] = [];
  for (const size of sizes) {
    const world = await makeWorld({
      limits: {
        heldPerMinute: 1e6,
        readsPerMinute: 1e6,
        previewsPerHour: 1e6,
        openRequests: 1e6,
        blobBytesPerDay: 1e12,
      },
    });
    await fill(world, size);
    worlds.push({ size, world, read: [], write: [], held: [] });
  }
  try {
    for (let i = 0; i < (quick ? 20 : CALLS); i += 1) {
      for (const { world, read, write, held } of worlds) {
        const { home } = world;
        read.push(
          await timed(() => callTool(home, "read_note", { book: "log" }, { holdMs: 5_000, callId: `r${i}` })),
        );
        write.push(
          await timed(() => callTool(home, "write_note", { book: "log", text: `n${i}` }, { holdMs: 5_000 })),
        );
        held.push(
          await timed(async () => {
            const ticket = ticketOf(await callTool(home, "write_note", { book: "ledger", text: `n${i}` }));
            await decide(world, home, ticket, "ben", "deny");
          }),
        );
      }
    }
    const [base] = worlds;
    if (base === undefined) return [];
    return worlds.slice(1).flatMap(({ size, read, write, held }): BenchRow[] =>
      (
        [
          ["allowed read", read, base.read],
          ["allowed write", write, base.write],
          ["held and denied", held, base.held],
        ] as const
      ).map(([what, ours, first]) => ({
        name: `${what} after ${size.toLocaleString("en")} entries`,
        ours: `${median(ours).toFixed(2)} ms`,
        reference: `${median(first).toFixed(2)} ms after ${base.size.toLocaleString("en")}`,
        ratio: median(ours) / median(first),
        bar: "<= 1.2",
      })),
    );
  } finally {
    for (const { world } of worlds) {
      await world.close();
      rmSync(world.root, { recursive: true, force: true });
    }
  }
};
