import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isFault } from "../../src/errors.ts";
import { batchOf, staleDraft } from "../support/drafts.ts";
import { openAt } from "../support/embedded-bed.ts";
import { powerCutFiles, type CutState } from "../support/power-cut-files.ts";
import { auditLog, auditMessage } from "../support/store-audit.ts";

// Power fails after any single file call. What was not flushed is there, or not, or in part, or as zeroes.

/** Park and Miller's generator: the same cuts in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return (state - 1) / 2_147_483_646;
  };
}

const CUTS_PER_CALL = 3;

test("no acknowledged entry is lost and none is half there, wherever power fails (L1, S1)", async () => {
  const root = mkdtempSync(join(tmpdir(), "countersign-power-"));
  const live = join(root, "live");
  mkdirSync(live, { mode: 0o700 });
  const random = seeded(20_261_121);
  const states: { state: CutState; acknowledged: number; isMade: boolean; at: number }[] = [];
  const acknowledged: string[] = [];
  let isMade = false;
  let calls = 0;
  const files = powerCutFiles(live, (self) => {
    calls += 1;
    for (let i = 0; i < CUTS_PER_CALL; i += 1) {
      states.push({ state: self.cut(random), acknowledged: acknowledged.length, isMade, at: calls });
    }
  });

  const append = async (store: Awaited<ReturnType<typeof openAt>>, batch: number): Promise<void> => {
    const size = 1 + (batch % 3);
    const drafts = Array.from({ length: size }, (_, i) =>
      staleDraft("policy", `${auditMessage("w", batch, i, size)}`),
    );
    const result = await store.append(batchOf(drafts));
    if (result.ok) acknowledged.push(`w:${batch}`);
  };
  const store = await openAt(live, { create: true, files, segmentBytes: 2_400 });
  isMade = true;
  for (let batch = 0; batch < 18; batch += 3) {
    await Promise.all([append(store, batch), append(store, batch + 1), append(store, batch + 2)]);
    if (batch === 3) await store.writeSnapshot();
  }
  await store.close();
  expect(acknowledged).toHaveLength(18);
  expect(states.length).toBeGreaterThan(120);

  for (const [i, { state, acknowledged: count, isMade: wasMade, at }] of states.entries()) {
    const dir = join(root, `cut-${i}`);
    mkdirSync(dir, { mode: 0o700 });
    state.writeTo(dir);
    const where = `cut ${i} after call ${at}`;
    const audit = await auditLog(dir).catch((error: unknown) => {
      // A log that was never handed out may not be there yet. Anything else must open.
      if (!wasMade && isFault(error, "HOME_NOT_FOUND")) return null;
      throw new Error(where, { cause: error });
    });
    for (const batch of acknowledged.slice(0, count)) {
      expect(audit?.batches.has(batch), `${batch}, ${where}`).toBe(true);
    }
    // And it goes on from there.
    const again = await openAt(dir, audit === null ? { create: true } : {});
    await append(again, 100 + i);
    acknowledged.pop();
    await again.close();
    expect((await auditLog(dir)).batches.has(`w:${100 + i}`), where).toBe(true);
    rmSync(dir, { recursive: true });
  }
  rmSync(root, { recursive: true });
});
