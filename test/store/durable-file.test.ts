import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Low } from "lowdb";
import { afterEach, beforeEach, expect, test } from "vitest";
import { isFault } from "../../src/errors.ts";
import { createDurableFile } from "../../src/store/embedded/durable-file.ts";
import type { Files } from "../../src/store/embedded/files.ts";
import { faultyFiles, type FaultMode } from "../support/faulty-files.ts";

interface Pins {
  tools: Record<string, string>;
}

let dir: string;
let path: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "countersign-durable-"));
  path = join(dir, "tools.lock.json");
});
afterEach(() => rmSync(dir, { recursive: true }));

const lockFile = (whenChanged: "replace" | "refuse" = "refuse", files?: Files) =>
  createDurableFile<Pins>({
    path,
    whenChanged,
    encode: (data) => `${JSON.stringify(data, null, 2)}\n`,
    decode: (bytes) => JSON.parse(bytes.toString()) as Pins,
    ...(files === undefined ? {} : { files }),
  });

test("is a lowdb adapter: reads what it wrote, nothing before that", async () => {
  const db = new Low<Pins>(lockFile(), { tools: {} });
  await db.read();
  expect(db.data).toEqual({ tools: {} });
  await db.update(({ tools }) => (tools["deploy"] = "sha256:1"));
  const again = new Low<Pins>(lockFile(), { tools: {} });
  await again.read();
  expect(again.data).toEqual({ tools: { deploy: "sha256:1" } });
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("refuses to write over what somebody changed since it was read", async () => {
  const adapter = lockFile();
  await adapter.write({ tools: {} });
  await adapter.read();
  writeFileSync(path, '{"tools":{"reviewed":"by hand"}}');
  await expect(adapter.write({ tools: {} })).rejects.toSatisfy((error) => isFault(error, "CONFIG_INVALID"));
  expect(readFileSync(path, "utf8")).toContain("by hand");
  await adapter.read();
  await adapter.write({ tools: { now: "seen" } });
  await adapter.write({ tools: { now: "again" } });
  expect(readFileSync(path, "utf8")).toContain("again");
});

test("refuses to make a file that somebody made since it was found absent", async () => {
  const adapter = lockFile();
  expect(await adapter.read()).toBeNull();
  writeFileSync(path, "{}");
  await expect(adapter.write({ tools: {} })).rejects.toSatisfy((error) => isFault(error, "CONFIG_INVALID"));
});

test("two writers at once leave one of the two, whole", async () => {
  const big = (name: string): Pins => ({
    tools: Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`${name}${i}`, name])),
  });
  await Promise.all(["a", "b", "c", "d"].map((name) => lockFile("replace").write(big(name))));
  const values = new Set(Object.values((JSON.parse(readFileSync(path, "utf8")) as Pins).tools));
  expect(values.size).toBe(1);
  expect(readdirSync(dir)).toEqual(["tools.lock.json"]);
});

test.each<FaultMode>(["lost", "happened", "half", "dies", "died"])(
  "with any call %s the file is the old one or the new one, whole",
  async (mode) => {
    const counted = faultyFiles();
    await lockFile("replace", counted).write({ tools: { old: "1" } });
    for (const [at, call] of counted.calls.entries()) {
      await lockFile("replace").write({ tools: { old: "1" } });
      const files = faultyFiles({ at, mode });
      // What an unlink of a temporary file that was just renamed says does not matter here.
      const isWritten = await lockFile("replace", files)
        .write({ tools: { new: "2" } })
        .then(
          () => true,
          () => false,
        );
      files.bury();
      const tools = (JSON.parse(readFileSync(path, "utf8")) as Pins).tools;
      expect([{ old: "1" }, { new: "2" }], `${mode} ${call}`).toContainEqual(tools);
      if (isWritten) expect(tools).toEqual({ new: "2" });
    }
  },
);
