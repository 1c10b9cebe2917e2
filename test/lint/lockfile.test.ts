import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { z } from "zod";

// Does `npm ci` work elsewhere? A lockfile can be complete on the machine that wrote it and refused on the next one.

const root = join(import.meta.dirname, "../..");

test("the lockfile has every platform's optional package, so that npm ci takes it anywhere", async () => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [
    join(root, "scripts/complete-lockfile.mjs"),
    "--check",
  ]);
  expect(stdout + stderr).toBe("");
});

test("every dependency is one exact version", async () => {
  const manifest = z
    .looseObject({
      dependencies: z.record(z.string(), z.string()),
      devDependencies: z.record(z.string(), z.string()),
    })
    .parse(JSON.parse(await readFile(join(root, "package.json"), "utf8")));
  const ranges = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
    ([, version]) => !/^\d+\.\d+\.\d+(?:-[0-9a-z.]+)?$/.test(version),
  );
  expect(ranges).toEqual([]);
});
