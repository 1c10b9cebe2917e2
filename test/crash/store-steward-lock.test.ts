import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { tryStewardLock } from "../../src/store/embedded/lock.ts";

test("one holder at a time; released, another may have it", async () => {
  const dir = mkdtempSync(join(tmpdir(), "countersign-steward-"));
  const first = await tryStewardLock(dir);
  expect(first).not.toBeNull();
  expect(await tryStewardLock(dir)).toBeNull();
  first?.release();
  first?.release();
  const second = await tryStewardLock(dir);
  expect(second).not.toBeNull();
  expect(await tryStewardLock(dir)).toBeNull();
  second?.release();
  rmSync(dir, { recursive: true });
});

test("a steward that is killed leaves the lock to the next", async () => {
  const dir = mkdtempSync(join(tmpdir(), "countersign-steward-"));
  const module = fileURLToPath(new URL("../../src/store/embedded/lock.ts", import.meta.url));
  const script = `
    import { tryStewardLock } from ${JSON.stringify(module)};
    tryStewardLock(${JSON.stringify(dir)}).then((lock) => {
      process.stdout.write(lock === null ? "refused" : "held");
      setInterval(() => lock, 1_000);
    });`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "--eval", script]);
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  expect(said.toString()).toBe("held");
  expect(await tryStewardLock(dir)).toBeNull();
  child.kill("SIGKILL");
  await once(child, "exit");
  const next = await tryStewardLock(dir);
  expect(next).not.toBeNull();
  next?.release();
  rmSync(dir, { recursive: true });
});
