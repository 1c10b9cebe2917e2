import { rmSync } from "node:fs";
import { join } from "node:path";
import { leafHash, rootOf, toHex } from "../../src/log/merkle.ts";
import type { Entry } from "../../src/log/entry.ts";
import type { EmbeddedStore } from "../../src/store/embedded/embedded-store.ts";
import { countingFold } from "./counting-fold.ts";
import { openAt } from "./embedded-bed.ts";

/** Messages of the entries that tests append say `<writer>:<batch>:<place in it>/<size of it>`. */
export const auditMessage = (writer: string, batch: number, place: number, size: number): string =>
  `${writer}:${batch}:${place}/${size}`;

export interface Audit {
  readonly size: number;
  readonly root: string;
  /** Batches that stand in the log, as `<writer>:<batch>`. */
  readonly batches: ReadonlySet<string>;
}

async function readAll(store: EmbeddedStore): Promise<{ entries: Entry[]; root: string }> {
  const entries: Entry[] = [];
  const leaves = [];
  for await (const { bytes } of store.lines(0)) {
    entries.push(JSON.parse(Buffer.from(bytes).toString()) as Entry);
    leaves.push(leafHash(bytes));
  }
  return { entries, root: `sha256:${toHex(rootOf(leaves))}` };
}

/**
 * Opens the log with the ordinary code and checks everything that a crash must leave intact: whole batches only, each
 * once, no gap, the root of the lines, and the same head and fold from the snapshot and from a replay.
 */
export async function auditLog(dir: string): Promise<Audit> {
  const fold = countingFold();
  const store = await openAt(dir, { fold });
  const { entries, root } = await readAll(store);
  const head = store.head();
  if (head.size !== entries.length || head.root !== root)
    throw new Error(`head ${JSON.stringify(head)} is not the log's`);
  const batches = new Set<string>();
  for (let at = 0; at < entries.length;) {
    const entry = entries[at] as Entry;
    if (entry.seq !== at) throw new Error(`entry ${entry.seq} at ${at}`);
    const message = entry.kind === "request.stale" ? (entry as Entry<"request.stale">).data.message : "";
    const [, name, place, size] = /^(.+:\d+):(\d+)\/(\d+)$/.exec(message) ?? ["", "", "0", "1"];
    if (place !== "0") throw new Error(`batch ${name} begins in its middle`);
    for (let i = 1; i < Number(size); i += 1) {
      const next = (entries[at + i] as Entry<"request.stale"> | undefined)?.data.message;
      if (next !== `${name}:${i}/${size}`) throw new Error(`half of batch ${name}: then ${String(next)}`);
    }
    if (name !== "" && batches.has(name as string)) throw new Error(`batch ${name} stands twice`);
    if (name !== "") batches.add(name as string);
    at += Number(size);
  }
  await store.close();
  rmSync(join(dir, "state.json"), { force: true });
  const replayed = countingFold();
  const again = await openAt(dir, { fold: replayed });
  if (JSON.stringify(again.head()) !== JSON.stringify(head)) throw new Error("a replay gives another head");
  if (JSON.stringify(replayed.snapshot()) !== JSON.stringify(fold.snapshot()))
    throw new Error("a replay gives another fold");
  await again.close();
  return { size: head.size, root, batches };
}
