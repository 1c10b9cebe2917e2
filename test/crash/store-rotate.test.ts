import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { verifyLog } from "../../src/log/verify.ts";
import { batchOf } from "../support/drafts.ts";
import { embeddedBed, type EmbeddedBed } from "../support/embedded-bed.ts";
import { faultyFiles, type FaultMode } from "../support/faulty-files.ts";

// The key is rotated while any file call fails, happens and then fails, or is the last one of the process. Is there
// always one key in force afterwards, the one that the log names, and can it be rotated again?

let bed: EmbeddedBed;
beforeEach(() => {
  bed = embeddedBed();
});
afterEach(() => bed.remove());

const draft = {
  kind: "throttled",
  subject: "log",
  policy: null,
  data: { principal: "ana", agent: "claude", count: 1, limit: "held" },
} as const;

async function countCalls(): Promise<readonly string[]> {
  const probe = embeddedBed();
  await (await probe.open({ create: true })).close();
  const files = faultyFiles();
  const store = await probe.open({ files });
  await store.append(batchOf([draft]));
  await store.rotateKey(null);
  await store.append(batchOf([draft]));
  await store.close();
  probe.remove();
  return files.calls;
}

const MODES: readonly FaultMode[] = ["lost", "happened", "half", "dies", "died"];

describe.each(MODES)("a file call that is %s while the key is rotated", (mode) => {
  test("leaves a log that opens, with the key that it names", async () => {
    const calls = await countCalls();
    expect(calls).toContain("rename log.key");
    for (const at of calls.keys()) {
      const one = embeddedBed();
      await (await one.open({ create: true })).close();
      const files = faultyFiles({ at, mode });
      let rotated: string | null = null;
      try {
        const store = await one.open({ files });
        await store.append(batchOf([draft]));
        rotated = (await store.rotateKey(null)).to;
        await store.append(batchOf([draft]));
        await store.close();
      } catch {
        // The fault struck before the end.
      }
      files.bury();
      const where = `${mode} ${at} ${calls[at]}`;
      const again = await one.open();
      const before = again.rotations().length;
      if (rotated !== null) expect(before, where).toBe(1);
      await again.append(batchOf([draft]));
      const second = await again.rotateKey(null);
      if (rotated !== null) expect(second.from, where).toBe(rotated);
      expect(again.rotations(), where).toHaveLength(before + 1);
      await again.append(batchOf([draft]));
      await again.close();
      const report = await verifyLog(one.logDir);
      expect(
        report.findings.filter(({ severity }) => severity === "fault"),
        where,
      ).toEqual([]);
      expect(report.key, where).toBe(second.to);
      one.remove();
    }
  });
});
