import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isFault } from "../../src/errors.ts";
import type { EmbeddedStore } from "../../src/store/embedded/embedded-store.ts";
import { systemFiles, type Files } from "../../src/store/embedded/files.ts";
import { countingFold } from "../support/counting-fold.ts";
import { batchOf, staleDraft } from "../support/drafts.ts";
import { embeddedBed, type EmbeddedBed } from "../support/embedded-bed.ts";
import { faultyFiles, type FaultMode, type FaultyFiles } from "../support/faulty-files.ts";
import { auditLog, auditMessage } from "../support/store-audit.ts";

// Can any single file call fail, or happen and then fail, or be the last one of the process, so that something
// acknowledged is lost, something is half there, or the log does not open again?

const BATCHES = 6;
const SEGMENT_BYTES = 700;

let bed: EmbeddedBed;
beforeEach(() => {
  bed = embeddedBed();
});
afterEach(() => bed.remove());

interface Outcome {
  /** Acknowledged and not, by batch name. */
  readonly acknowledged: string[];
  readonly codes: string[];
}

/** Appends batches of one to three entries, two at a time, and a snapshot in between; segments roll twice. */
async function work(store: EmbeddedStore): Promise<Outcome> {
  const acknowledged: string[] = [];
  const codes: string[] = [];
  const append = async (batch: number): Promise<void> => {
    const size = 1 + (batch % 3);
    const drafts = Array.from({ length: size }, (_, i) =>
      staleDraft("policy", `${auditMessage("w", batch, i, size)}`),
    );
    try {
      const result = await store.append(batchOf(drafts));
      if (result.ok) acknowledged.push(`w:${batch}`);
    } catch (error) {
      codes.push(isFault(error) ? error.code : String(error));
    }
  };
  for (let batch = 0; batch < BATCHES; batch += 2) {
    await Promise.all([append(batch), append(batch + 1)]);
    if (batch === 2) await store.writeSnapshot().catch(() => undefined);
  }
  return { acknowledged, codes };
}

const finish = async (store: EmbeddedStore, files: FaultyFiles): Promise<void> => {
  await store.close().catch(() => undefined);
  files.bury();
};

async function countCalls(): Promise<readonly string[]> {
  const probe = embeddedBed();
  await (await probe.open({ create: true })).close();
  const files = faultyFiles();
  const store = await probe.open({ files, segmentBytes: SEGMENT_BYTES });
  expect(await work(store)).toMatchObject({ codes: [] });
  await store.close();
  probe.remove();
  return files.calls;
}

const MODES: readonly FaultMode[] = ["lost", "happened", "half", "dies", "died"];

describe.each(MODES)("a file call that is %s", (mode) => {
  test("loses nothing acknowledged and leaves nothing half, at any call", async () => {
    const calls = await countCalls();
    expect(calls.filter((call) => call.startsWith("open wx+")).length).toBeGreaterThanOrEqual(2);
    for (const at of calls.keys()) {
      const one = embeddedBed();
      await (await one.open({ create: true })).close();
      const files = faultyFiles({ at, mode });
      let outcome: Outcome = { acknowledged: [], codes: [] };
      try {
        const store = await one.open({ files, segmentBytes: SEGMENT_BYTES });
        outcome = await work(store);
        await finish(store, files);
      } catch {
        // The fault struck while opening.
        files.bury();
      }
      expect(files.struck, `${at} ${calls[at]}`).toBe(true);
      const audit = await auditLog(one.dir);
      for (const batch of outcome.acknowledged) {
        expect(audit.batches.has(batch), `${batch} after ${mode} ${at} ${calls[at]}`).toBe(true);
      }
      one.remove();
    }
  });
});

describe("a disk that is full at one write", () => {
  test("refuses that group, loses nothing, and goes on (STORE_FULL)", async () => {
    for (const mode of ["lost", "half"] as const) {
      const calls = await countCalls();
      for (const [at, call] of calls.entries()) {
        if (!/^(write|open wx\+) \d{6}\.jsonl/.test(call)) continue;
        const one = embeddedBed();
        await (await one.open({ create: true })).close();
        const files = faultyFiles({ at, mode, code: "ENOSPC" });
        const store = await one.open({ files, segmentBytes: SEGMENT_BYTES });
        const { acknowledged, codes } = await work(store);
        expect(codes, `${at} ${call}`).toEqual(["STORE_FULL", "STORE_FULL"]);
        expect(acknowledged).toHaveLength(BATCHES - 2);
        await finish(store, files);
        const audit = await auditLog(one.dir);
        expect([...audit.batches].sort()).toEqual(acknowledged.sort());
        one.remove();
      }
    }
  });
});

describe("a write or a flush that fails", () => {
  test("a failed flush closes the store for good, is not tried again, and says so (STORE_CLOSED)", async () => {
    await (await bed.open({ create: true })).close();
    const faults: string[] = [];
    const files = faultyFiles({ at: 2, mode: "lost" });
    const store = await bed.open({ files, onFault: (fault) => faults.push(fault.code) });
    const first = store.append(batchOf([staleDraft("policy", "w:0:0/1")]));
    await expect(first).rejects.toSatisfy((error) => isFault(error, "STORE_CLOSED"));
    expect(files.calls[2]).toBe("flush 000001.jsonl");
    const flushes = files.calls.filter((call) => call.startsWith("flush 0")).length;
    await expect(store.append(batchOf([staleDraft("policy", "w:1:0/1")]))).rejects.toSatisfy((error) =>
      isFault(error, "STORE_CLOSED"),
    );
    expect(files.calls.filter((call) => call.startsWith("flush 0")).length).toBe(flushes);
    expect(faults).toEqual(["STORE_CLOSED"]);
    await finish(store, files);
    expect((await auditLog(bed.dir)).size).toBe(1);
  });

  test.each(["write", "flush"])(
    "a failed %s takes its lines away before another process can act on them",
    async (what) => {
      await (await bed.open({ create: true })).close();
      const at = what === "write" ? 1 : 2;
      const files = faultyFiles({ at, mode: "happened" });
      const store = await bed.open({ files });
      const other = await bed.open();
      await expect(store.append(batchOf([staleDraft("policy")]))).rejects.toThrow();
      expect(files.calls[at]).toBe(`${what} 000001.jsonl`);
      await other.catchUp();
      expect(other.head().size).toBe(1);
      expect(await other.append(batchOf([staleDraft("policy", "o:0:0/1")]))).toMatchObject({ ok: true });
      await finish(store, files);
      await other.close();
      expect((await auditLog(bed.dir)).size).toBe(2);
    },
  );
});

describe("while a flush is under way", () => {
  test("nobody sees the entry: not the fold, the head, a follower, a reader, or the caller (L1, S3)", async () => {
    await (await bed.open({ create: true })).close();
    let finishFlush: (() => void) | undefined;
    const files: Files = {
      ...systemFiles,
      async flush(fd) {
        await systemFiles.flush(fd);
        // The first one only: closing flushes a snapshot.
        if (finishFlush === undefined) await new Promise<void>((resolve) => (finishFlush = resolve));
      },
    };
    const fold = countingFold();
    const store = await bed.open({ files, fold });
    const before = { head: store.head(), state: fold.snapshot(), checkpoint: await store.checkpoint() };
    const heard: number[] = [];
    let isAnswered = false;
    store.follow((entries) => heard.push(...entries.map(({ seq }) => seq)));
    const append = store.append(batchOf([staleDraft("policy")])).then(() => (isAnswered = true));
    while (finishFlush === undefined) await new Promise((resolve) => setTimeout(resolve, 1));

    expect({ head: store.head(), state: fold.snapshot(), checkpoint: await store.checkpoint() }).toEqual(
      before,
    );
    expect(readFileSync(join(bed.logDir, "checkpoint"), "utf8")).toBe(before.checkpoint);
    expect(await store.newestEntries(5)).toHaveLength(1);
    expect(await store.rootAt(1)).toBe(before.head.root);
    expect([heard, isAnswered]).toEqual([[], false]);

    finishFlush();
    await append;
    expect([heard, isAnswered, fold.size, store.head().size]).toEqual([[1], true, 2, 2]);
    await store.close();
  });
});

describe("making a log", () => {
  test.each(MODES)(
    "can be done again after any file call was %s, with the key that was made",
    async (mode) => {
      const probe = embeddedBed();
      const counted = faultyFiles();
      await (await probe.open({ create: true, files: counted })).close();
      probe.remove();
      for (const [at, call] of counted.calls.entries()) {
        const one = embeddedBed();
        const files = faultyFiles({ at, mode });
        const store = await one.open({ create: true, files }).catch(() => null);
        if (store !== null) await store.close().catch(() => undefined);
        files.bury();
        expect(files.struck).toBe(true);
        const again = await one.open({ create: true }).catch((error: unknown) => {
          // Entry 0 was there already: it is opened like any other log.
          if (isFault(error, "LOG_EXISTS")) return one.open();
          throw error;
        });
        expect(again.head().size, `${mode} ${at} ${call}`).toBe(1);
        await again.close();
        expect((await auditLog(one.dir)).size).toBe(1);
        one.remove();
      }
    },
  );
});
