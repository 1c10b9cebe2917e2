import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../src/base/clock.ts";
import { newId } from "../src/base/id.ts";
import type { EntryDraft } from "../src/log/entry.ts";
import type { Files } from "../src/store/embedded/files.ts";
import type { Batch } from "../src/store/store.ts";
import { openEmbeddedStore, type EmbeddedStore } from "../src/store/embedded/embedded-store.ts";
import { checkpointSigner } from "../test/support/checkpoint-signer.ts";
import { countingFold } from "../test/support/counting-fold.ts";

/** A throwaway data directory on the disk of the working directory: a tmpfs would make every flush free. */
export function benchDir(): { readonly dir: string; remove(): void } {
  const dir = mkdtempSync(join(process.cwd(), ".bench-"));
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) };
}

/** Opens, or with `create` makes, the store of a bench directory. */
export const openBenchStore = (dir: string, create: boolean, files?: Files): Promise<EmbeddedStore> =>
  openEmbeddedStore({
    dir: join(dir, "data"),
    blobsDir: join(dir, "data", "blobs"),
    keysDir: join(dir, "data", "keys"),
    fold: countingFold(),
    clock: systemClock,
    isolation: "none",
    signer: checkpointSigner,
    ...(files === undefined ? {} : { files }),
    ...(create ? { create: { version: "bench" } } : {}),
  });

/** Batches of one entry of about 2 KB each, whose requests close at once, so that the fold does not grow. */
export function benchBatches(count: number): Batch[] {
  return Array.from({ length: count }, (): Batch => {
    const subject = newId("req", Date.now());
    const draft: EntryDraft = {
      kind: "request.withdrawn",
      subject,
      policy: `sha256:${"ab".repeat(32)}`,
      keys: [{ key: `call:${subject}`, until: Date.now() + 60_000 }],
      // One flat string of its own, as parsing a call gives: `repeat` leaves a rope that the first writer would pay for.
      data: { by: "ana", reason: Buffer.alloc(1_700, "x").toString("latin1") },
    };
    return { expect: [{ subject, newest: null }], newKeys: [`call:${subject}`], entries: [draft] };
  });
}
