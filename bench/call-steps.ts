import { callTool, makeWorld } from "../test/support/world.ts";
import { bookName, timed } from "./call-sides.ts";
import { median, type BenchRow } from "./rows.ts";

/** Where the time of a call goes inside the gateway: waiting for documents and entries, and everything else. */
export async function callSteps(rounds: number): Promise<BenchRow[]> {
  const many = 1e9;
  const world = await makeWorld({
    limits: {
      ...{ heldPerMinute: many, readsPerMinute: many, previewsPerHour: many, openRequests: many },
      blobBytesPerDay: 1e12,
    },
  });
  try {
    const { store } = world.home;
    const { append } = store;
    const { place } = store.blobs;
    let documents = 0;
    let entries = 0;
    Object.assign(store, {
      append: async (...given: Parameters<typeof append>) => {
        const start = performance.now();
        const result = await append(...given);
        entries += performance.now() - start;
        return result;
      },
    });
    Object.assign(store.blobs, {
      place: async (...given: Parameters<typeof place>) => {
        const start = performance.now();
        const placed = await place(...given);
        const noted = placed.durable.then(() => void (documents += performance.now() - start));
        return { ...placed, durable: noted };
      },
    });
    const rows: BenchRow[] = [];
    for (const what of ["read", "write"] as const) {
      const all: number[] = [];
      const documentShare: number[] = [];
      const entryShare: number[] = [];
      for (let i = 0; i < rounds; i += 1) {
        documents = 0;
        entries = 0;
        const args = what === "read" ? { book: bookName(i) } : { book: "log", text: `step ${i}` };
        const total = await timed(async () => {
          await callTool(world.home, `${what}_note`, args, { holdMs: 5_000 });
        });
        all.push(total);
        documentShare.push(documents);
        entryShare.push(entries);
      }
      const total = median(all);
      const part = (name: string, values: readonly number[]): BenchRow => ({
        name: `  of an allowed ${what} inside the gateway: ${name}`,
        ours: `${median(values).toFixed(2)} ms`,
        reference: `${total.toFixed(2)} ms in all`,
        ratio: median(values) / total,
        bar: null,
      });
      rows.push(part("entries durable", entryShare));
      rows.push(part("documents durable, meanwhile", documentShare));
    }
    return rows;
  } finally {
    await world.close();
  }
}
