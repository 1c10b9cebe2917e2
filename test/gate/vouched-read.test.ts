import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { z } from "zod";
import { defineTool, NoEffect, type Tool } from "../../src/tool.ts";
import type { OpenedHome } from "../../src/compose.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { CALLER, callTool, makeWorld, policyText, type World, type WorldOptions } from "../support/world.ts";

// An allowed read runs while its entries are flushed. What may it never do all the same?

let world: World;
afterEach(async () => {
  const { dataDir } = world.settings;
  await world.home.close();
  const report = await verifyLog(join(dataDir, "log"));
  await world.close();
  if (!report.ok) throw new Error(JSON.stringify(report.findings));
});

const RULES = `rules:
  - { id: looks-are-free, match: { tool: look_around }, verdict: allow }
  - { id: notes-are-free, match: { tool: write_note }, verdict: allow }
`;

/** A read that does what the test says, and may depend on what it is asked. */
function look(execute: (place: string) => unknown, effect?: "computed"): Tool {
  return defineTool({
    name: "look_around",
    title: "Look around",
    description: "Looks.",
    input: z.strictObject({ place: z.string() }),
    output: z.object({ saw: z.unknown() }),
    plan: z.strictObject({ place: z.string() }),
    effect: effect === undefined ? "read" : () => "read",
    idempotent: true,
    refusals: {},
    targets: ({ place }) => [{ kind: "place", id: place, environment: "demo" }],
    preview: () => Promise.reject(new Error("an allowed read is not previewed")),
    guard: () => Promise.resolve("read"),
    execute: async ({ place }) => ({ output: { saw: await execute(place) } }),
  });
}

async function start(tool: Tool, options: WorldOptions = {}): Promise<OpenedHome> {
  world = await makeWorld({ rules: RULES, tools: [tool], ...options });
  return world.home;
}
const ask = (home: OpenedHome, place: string, callId?: string) =>
  callTool(home, "look_around", { place }, { holdMs: 10_000, ...(callId === undefined ? {} : { callId }) });
const logFile = (): string => readFileSync(join(world.settings.dataDir, "log", "000001.jsonl"), "utf8");
const kindsOf = async (home: OpenedHome, id: string) =>
  (await home.requests.history(id as never)).map(({ kind }) => kind);

test("it runs once its dispatch was accepted and stands in the log's file, and is answered when that is durable (L1)", async () => {
  let inFile = false;
  let durable = true;
  const home = await start(
    look(() => {
      inFile = logFile().includes('"kind":"execution.dispatched"');
      durable = home.store.head().size > 2;
      return "a door";
    }),
  );
  const reply = await ask(home, "here");
  expect(reply).toMatchObject({ status: "done", output: { saw: "a door" } });
  expect({ inFile, durable }).toEqual({ inFile: true, durable: false });
  if (reply.status !== "done") throw new Error("not done");
  expect(await kindsOf(home, reply.request)).toContain("execution.dispatched");
  // The outcome rides, and is there a moment later.
  await expect.poll(() => kindsOf(home, reply.request)).toContain("execution.settled");
  // Its documents are there for people; nothing was sealed, so nothing has to be erased.
  expect(await home.store.blobs.sealedRequests()).toEqual([]);
  const records = await home.records.readAll(await home.requests.history(reply.request));
  expect([...records].map(([name, { state }]) => `${name} ${state}`)).toEqual([
    "arguments kept",
    "view kept",
    "inputs kept",
    "result kept",
  ]);
});

test("an adoption by another process that forbids it is seen before anything is sent (P6)", async () => {
  let runs = 0;
  const home = await start(
    look(() => (runs += 1)),
    { head: "adopt: on_save" },
  );
  const other = await world.open();
  const rules = RULES.replace("tool: look_around }, verdict: allow", "tool: look_around }, verdict: deny");
  await writeFile(
    world.settings.policyFile,
    policyText(world.keys, {
      rules,
      head: "adopt: on_save",
    }),
  );
  await other.adoption.checkFiles();
  // This process has not been told yet.
  expect(await ask(home, "here")).toMatchObject({ status: "refused", code: "denied_by_policy" });
  expect(runs).toBe(0);
});

test("asked again it looks again, at once and a hundred times; with the same call id it is answered from the record (R2, R3)", async () => {
  let runs = 0;
  const home = await start(look(() => (runs += 1)));
  for (let i = 1; i <= 100; i += 1) expect(await ask(home, "here")).toMatchObject({ output: { saw: i } });
  expect(await ask(home, "here", "one")).toMatchObject({ output: { saw: 101 } });
  expect(await ask(home, "here", "one")).toMatchObject({ status: "done", output: { saw: 101 } });
  expect(runs).toBe(101);
});

test("the same read sent twice at once runs once", async () => {
  let runs = 0;
  const home = await start(
    look(async () => {
      runs += 1;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return runs;
    }),
  );
  const replies = await Promise.all([ask(home, "here"), ask(home, "here"), ask(home, "here")]);
  expect(runs).toBe(1);
  expect(new Set(replies.map((reply) => JSON.stringify(reply))).size).toBe(1);
});

test("one that throws has failed, and holds nothing back: a read changes nothing (X2)", async () => {
  let runs = 0;
  const home = await start(
    look(() => {
      runs += 1;
      throw runs === 1
        ? new Error("reset by peer, password=hunter2hunter2")
        : new NoEffect("gone", "no such place");
    }),
  );
  const first = await ask(home, "here");
  expect(first).toMatchObject({ status: "failed", code: "read_failed" });
  expect(JSON.stringify(first)).not.toContain("hunter2");
  expect(await ask(home, "here")).toMatchObject({ status: "failed", code: "gone" });
  expect(runs).toBe(2);
});

test("one that takes longer than its caller waits gives a ticket, and the ticket its result", async () => {
  let release: (() => void) | undefined;
  const home = await start(look(() => new Promise((resolve) => (release = () => resolve("late")))));
  const reply = await callTool(home, "look_around", { place: "here" }, { holdMs: 0 });
  if (reply.status !== "pending") throw new Error(reply.status);
  expect(await kindsOf(home, reply.ticket)).toContain("execution.dispatched");
  const waiting = home.gate.wait(reply.ticket, CALLER, {
    signal: new AbortController().signal,
    holdMs: 10_000,
  });
  await expect.poll(() => release).toBeTypeOf("function");
  release?.();
  expect(await waiting).toMatchObject({ status: "done", output: { saw: "late" } });
});

test("one whose effect the tool computes from its input keeps the strict order: dispatched, durable, then run (X1)", async () => {
  let durable = false;
  const home = await start(
    look(() => {
      durable = home.store.head().size > 2;
      return "a door";
    }, "computed"),
  );
  expect(await ask(home, "here")).toMatchObject({ status: "done" });
  expect(durable).toBe(true);
  expect(await home.store.blobs.sealedRequests()).toHaveLength(1);
});

test("a write is dispatched durably before its tool is called, however busy reads keep the log (X1)", async () => {
  const seen: boolean[] = [];
  const home = await start(look(() => "a door"));
  world.notes.before = () => {
    const dispatched = logFile()
      .split("\n")
      .flatMap((line) =>
        line.includes('"kind":"execution.dispatched"') ? [JSON.parse(line) as { seq: number }] : [],
      );
    const newest = dispatched.at(-1)?.seq ?? Number.POSITIVE_INFINITY;
    seen.push(home.store.head().size > newest || home.fold.state.executions.open.size > 0);
  };
  const reads = Array.from({ length: 40 }, (_, i) => ask(home, `p${i % 20}`));
  const text = (i: number): string => "x".repeat(i + 1);
  for (let i = 0; i < 5; i += 1) {
    const reply = await callTool(home, "write_note", { book: "log", text: text(i) }, { holdMs: 10_000 });
    expect(reply).toMatchObject({ status: "done" });
  }
  await Promise.all(reads);
  expect(seen).toEqual([true, true, true, true, true]);
});

test("many reads one after another never meet the limit on open requests", async () => {
  const home = await start(
    look((place) => place),
    { limits: { openRequests: 2 } },
  );
  for (let i = 0; i < 30; i += 1) expect(await ask(home, `p${i}`)).toMatchObject({ status: "done" });
});
