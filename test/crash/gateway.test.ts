import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { verifyLog } from "../../src/log/verify.ts";
import { readSlowly } from "../support/note-tools.ts";
import { CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// Does killing a gateway at any point run an action twice, lose a request, or leave it in doubt where it is not?

let world: World;
afterEach(() => world.close());

const child = (mode: string, ticket?: string): Promise<number | null> =>
  new Promise((resolve) => {
    const args = [JSON.stringify({ settings: world.settings, dir: world.notes.dir }), mode];
    const running = spawn(
      process.execPath,
      ["--import", "tsx", "test/support/crash-child.ts", ...args, ...(ticket === undefined ? [] : [ticket])],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    running.on("exit", (code) => resolve(code));
  });
const effects = async (): Promise<number> =>
  (await readFile(join(world.notes.dir, "effects"), "utf8").catch(() => "")).split("\n").length - 1;
const noWait = { signal: new AbortController().signal, holdMs: 0 };

test("killed after dispatch and before the effect: the world says it did not run; asked again, it runs once (X2)", async () => {
  world = await makeWorld();
  expect(await child("before-effect")).toBe(null);
  await world.home.startSteward();
  await expect.poll(() => world.home.requests.list(1)[0]?.phase, { timeout: 10_000 }).toBe("failed");
  expect(await effects()).toBe(0);
  expect(await child("run")).toBe(0);
  expect(await effects()).toBe(1);
});

test("killed after the effect and before the outcome: reconciled as done, and a re-sent call does not run (X2)", async () => {
  world = await makeWorld();
  expect(await child("after-effect")).toBe(null);
  // Before anybody has looked, the same call finds the dispatched request and does not run it.
  expect(await callTool(world.home, "write_note", { book: "log", text: "crash" })).toMatchObject({
    status: "pending",
  });
  await world.home.startSteward();
  await expect.poll(() => world.home.requests.list(1)[0]?.phase, { timeout: 10_000 }).toBe("done");
  expect(await callTool(world.home, "write_note", { book: "log", text: "crash" })).toMatchObject({
    status: "done",
  });
  expect(await effects()).toBe(1);
});

test("killed after each durable batch of an approved request: never twice, never lost (X1, X2, G3)", async () => {
  // Batches that a waiting gateway writes after the grant: claimed, dispatched, settled.
  for (const mode of ["batch-1", "batch-2", "batch-3"]) {
    world = await makeWorld();
    const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: mode }));
    await decide(world, world.home, ticket, "ben");
    expect(await child(mode, ticket)).toBe(null);
    world.notes.after = async () => {
      const { appendFile } = await import("node:fs/promises");
      await appendFile(join(world.notes.dir, "effects"), "ran\n");
    };
    await world.home.startSteward();
    await expect
      .poll(async () => (await world.home.gate.wait(ticket, CALLER, noWait)).status, { timeout: 20_000 })
      .toMatch(/^(done|failed)$/);
    const reply = await world.home.gate.wait(ticket, CALLER, noWait);
    expect(await effects(), mode).toBe(reply.status === "done" ? 1 : 0);
    const kinds = (await world.home.requests.history(ticket as never)).map((entry) => entry.kind);
    expect(kinds.filter((kind) => kind === "execution.dispatched")).toHaveLength(1);
    await world.close();
  }
});

test("killed in the middle of an allowed read: its dispatch is found, and settled without asking anybody (X2)", async () => {
  const rules = "rules: [{ id: r, match: { tool: read_slowly }, verdict: allow }]\n";
  world = await makeWorld({ rules, tools: [readSlowly("", () => Promise.resolve())] });
  expect(await child("during-read")).toBe(null);
  expect(await effects()).toBe(1);
  await world.home.startSteward();
  await expect.poll(() => world.home.requests.list(1)[0]?.phase, { timeout: 20_000 }).toBe("failed");
  const [summary] = world.home.requests.list(1);
  const kinds = (await world.home.requests.history(summary?.id as never)).map((entry) => entry.kind);
  expect(kinds.slice(-3)).toEqual(["execution.dispatched", "execution.settled", "execution.resolved"]);
  const report = await verifyLog(join(world.settings.dataDir, "log"));
  expect(report.findings.filter(({ severity }) => severity === "fault")).toEqual([]);
});
