import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isFault } from "../../src/errors.ts";
import { batchOf, staleDraft } from "../support/drafts.ts";
import { openAt } from "../support/embedded-bed.ts";
import { auditLog, auditMessage } from "../support/store-audit.ts";

/** A file system of its own with so much room; null where this account may not mount one. */
function smallDisk(bytes: number): { dir: string; remove(): void } | null {
  const dir = mkdtempSync(join(tmpdir(), "countersign-full-"));
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${bytes},mode=700`, "tmpfs", dir], { stdio: "ignore" });
  } catch {
    rmSync(dir, { recursive: true });
    return null;
  }
  return {
    dir,
    remove() {
      execFileSync("umount", ["--lazy", dir]);
      rmSync(dir, { recursive: true });
    },
  };
}

test("a disk that really fills up refuses entries and documents, keeps what it acknowledged, and goes on", async (context) => {
  const disk = smallDisk(2 * 1024 * 1024);
  if (disk === null) return context.skip("needs the right to mount a tmpfs; injected faults cover the rest");
  try {
    const dir = join(disk.dir, "data");
    const store = await openAt(dir, { create: true, segmentBytes: 64 * 1024 });
    const acknowledged: string[] = [];
    const codes = new Set<string>();
    const append = async (batch: number): Promise<boolean> => {
      const drafts = [0, 1, 2].map((i) => staleDraft("policy", auditMessage("w", batch, i, 3)));
      const padding = staleDraft("policy", "y".repeat(9_000));
      try {
        await store.append(batchOf([...drafts]));
        acknowledged.push(`w:${batch}`);
        return (await store.append(batchOf([padding]))).ok;
      } catch (error) {
        codes.add(isFault(error) ? error.code : String(error));
        return false;
      }
    };
    let batch = 0;
    while (await append(batch)) batch += 1;
    expect([...codes]).toEqual(["STORE_FULL"]);
    const put = store.blobs.put([{ tag: "view", bytes: Buffer.alloc(64 * 1024), type: "text/plain" }]);
    await expect(put).rejects.toSatisfy((error) => isFault(error, "STORE_FULL"));
    for (let i = 1; i < 20; i += 1) await append(batch + i);
    expect([...codes]).toEqual(["STORE_FULL"]);

    execFileSync("mount", ["-o", `remount,size=${8 * 1024 * 1024}`, disk.dir]);
    expect(await append(batch + 100)).toBe(true);
    await store.close();
    const { batches } = await auditLog(dir);
    expect([...batches].sort()).toEqual(acknowledged.sort());
  } finally {
    disk.remove();
  }
});

test("closing on a full disk loses the snapshot and nothing else", async (context) => {
  const disk = smallDisk(1024 * 1024);
  if (disk === null) return context.skip("needs the right to mount a tmpfs");
  try {
    const dir = join(disk.dir, "data");
    const store = await openAt(dir, { create: true });
    await store.append(batchOf([staleDraft("policy", auditMessage("w", 0, 0, 1))]));
    try {
      writeFileSync(join(disk.dir, "filler"), Buffer.alloc(2 * 1024 * 1024));
    } catch {
      // Full, which is the point.
    }
    await store.close();
    rmSync(join(disk.dir, "filler"));
    expect((await auditLog(dir)).batches.has("w:0")).toBe(true);
  } finally {
    disk.remove();
  }
});
