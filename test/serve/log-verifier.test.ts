import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pino from "pino";
import { afterEach, expect, test } from "vitest";
import { verifyLog } from "../../src/log/verify.ts";
import { createLogVerifier, type LogVerifier } from "../../src/serve/log-verifier.ts";
import { callTool, makeWorld, type World } from "../support/world.ts";

const log = pino({ level: "silent" });
let world: World | null = null;
let verifier: LogVerifier | null = null;
afterEach(async () => {
  await verifier?.stop();
  await world?.close();
  world = null;
});

test("says how far the log was verified, and what was found once a line was changed", async () => {
  world = await makeWorld();
  const { home, settings } = world;
  await callTool(home, "write_note", { book: "log", text: "a" }, { holdMs: 5_000 });
  const directory = join(settings.dataDir, "log");
  verifier = createLogVerifier({
    ...{ now: () => Date.now(), log, firstAfterMs: 1, everyMs: 40 },
    run: async () => verifyLog(directory, { against: [await home.store.checkpoint()], threads: 1 }),
  });
  expect(verifier.state()).toEqual({ state: "never", last: null, startedAt: null, nextAt: null });
  verifier.start();
  const seen = verifier;
  await expect.poll(() => seen.state().last?.state).toBe("ok");
  expect(seen.state().last?.size).toBe(home.store.head().size);
  const [segment = ""] = readdirSync(directory).filter((name) => name.endsWith(".jsonl"));
  const file = join(directory, segment);
  const text = await readFile(file, "utf8");
  await writeFile(file, text.replace('"agent":"claude"', '"agent":"clauda"'));
  await expect.poll(() => seen.state().last?.state).toBe("failed");
  expect(seen.state().last?.findings.length).toBeGreaterThan(0);
  await writeFile(file, text);
  await expect.poll(() => seen.state().last?.state).toBe("ok");
});

test("a log that was cut short behind the gateway's back is found by what the gateway has in memory", async () => {
  world = await makeWorld();
  const { home, settings } = world;
  await callTool(home, "write_note", { book: "log", text: "a" }, { holdMs: 5_000 });
  const copy = await mkdtemp(join(tmpdir(), "countersign-cut-"));
  try {
    const directory = join(settings.dataDir, "log");
    const [segment = ""] = readdirSync(directory).filter((name) => name.endsWith(".jsonl"));
    const lines = (await readFile(join(directory, segment), "utf8")).split("\n");
    await writeFile(join(copy, segment), `${lines.slice(0, 2).join("\n")}\n`);
    const report = await verifyLog(copy, { against: [await home.store.checkpoint()] });
    expect(report.findings.map(({ code }) => code)).toContain("inconsistent");
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
});

test("a look that fails is said, and the next one is made all the same", async () => {
  let looks = 0;
  verifier = createLogVerifier({
    ...{ now: () => Date.now(), log, firstAfterMs: 1, everyMs: 5 },
    run() {
      looks += 1;
      return looks === 1
        ? Promise.reject(new Error("no thread"))
        : Promise.resolve({ ok: true, entries: 3, bytes: 9, findings: [] });
    },
  });
  verifier.start();
  const seen = verifier;
  await expect.poll(() => seen.state().last?.state).toBe("ok");
  expect(looks).toBeGreaterThan(1);
  await seen.stop();
  const stopped = looks;
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(looks).toBe(stopped);
});
