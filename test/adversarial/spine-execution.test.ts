import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { NoEffect, type Tool } from "../../src/tool.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { holdTool } from "../support/held-tool.ts";
import { openDoor, writeNote } from "../support/note-tools.ts";
import { BOOKS, CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// Can a tool, a full disk, a clock or a lost file keep an outcome out of the log, or stop the steward?

let world: World;
afterEach(async () => {
  // Whatever was tried, the record of it verifies.
  const report = await verifyLog(join(world.settings.dataDir, "log"));
  await world.close();
  if (!report.ok) throw new Error(JSON.stringify(report.findings));
});

const noWait = { signal: new AbortController().signal, holdMs: 0 };
const kindsOf = async (ticket: string): Promise<string[]> => {
  // The handle that looks is not always the one that wrote.
  await world.home.store.catchUp();
  return (await world.home.requests.history(ticket as never)).map((entry) => entry.kind);
};
const HEAD = { head: "adopt: on_save" };
const adopt = async (change: (text: string) => string): Promise<void> => {
  const file = world.settings.policyFile;
  await writeFile(file, change(await readFile(file, "utf8")));
  expect(await world.home.adoption.checkFiles()).toBe("adopted");
};

test("an adoption while the guard is read is seen before anything is dispatched (P6, X1)", async () => {
  world = await makeWorld(HEAD);
  const { tool, latch } = holdTool(writeNote(world.notes, BOOKS), "guard");
  const slow = await world.open({ tools: [tool] });
  const ticket = ticketOf(await callTool(slow, "write_note", { book: "ledger", text: "x" }));
  await decide(world, slow, ticket, "ben");
  const waiting = slow.gate.wait(ticket, CALLER, { ...noWait, holdMs: 10_000 });
  await latch.reached;
  await adopt((text) =>
    text.replace("environment: prod }\n    verdict: hold", "environment: prod }\n    verdict: deny"),
  );
  latch.release();
  expect(await waiting).toMatchObject({ status: "refused", code: "stale" });
  expect(world.notes.runs).toEqual([]);
});

test("an unrelated adoption while the guard is read delays an approved request and does not lose it", async () => {
  world = await makeWorld(HEAD);
  const { tool, latch } = holdTool(writeNote(world.notes, BOOKS), "guard");
  const slow = await world.open({ tools: [tool] });
  const ticket = ticketOf(await callTool(slow, "write_note", { book: "ledger", text: "x" }));
  await decide(world, slow, ticket, "ben");
  const waiting = slow.gate.wait(ticket, CALLER, { ...noWait, holdMs: 10_000 });
  await latch.reached;
  await adopt((text) => text.replace("the word is forbidden", "that word is forbidden"));
  latch.release();
  expect(await waiting).toMatchObject({ status: "done" });
  expect(world.notes.runs).toEqual(["ledger"]);
});

/** A home whose write_note executes as told. */
const withExecute = async (execute: Tool["execute"], more: Partial<Tool> = {}) => {
  const home = await world.open({ tools: [{ ...writeNote(world.notes, BOOKS), execute, ...more }] });
  return () => callTool(home, "write_note", { book: "log", text: "x" }, { holdMs: 8_000 });
};

test("a result that is no JSON does not lose the outcome", async () => {
  world = await makeWorld();
  for (const output of [{ at: new Date(0) }, { n: Number.NaN }, { s: "\ud800" }, 1n, undefined]) {
    const call = await withExecute(() => Promise.resolve({ output: output as never, undo: null }));
    expect(await call()).toMatchObject({ status: "done", output: null });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await callTool(world.home, "read_note", { book: "log" });
    await world.close();
    world = await makeWorld();
  }
});

test.skipIf(process.getuid?.() === 0)(
  "a work directory that can't be removed does not lose the outcome",
  async () => {
    world = await makeWorld();
    const tool = writeNote(world.notes, BOOKS);
    let locked = "";
    const call = await withExecute(async (plan, ctx) => {
      locked = join(ctx.workdir, "locked");
      await mkdir(locked);
      await writeFile(join(locked, "file"), "x");
      await chmod(locked, 0o500);
      return tool.execute(plan, ctx);
    });
    expect(await call()).toMatchObject({ status: "done" });
    if (existsSync(locked)) await chmod(locked, 0o700);
  },
);

test("a work directory that can't be made is a failure known to have no effect, not an execution for ever", async () => {
  world = await makeWorld();
  let ran = false;
  const tool = writeNote(world.notes, BOOKS);
  const work = join(world.settings.dataDir, "work");
  const call = await withExecute(
    () => {
      ran = true;
      throw new Error("not reached");
    },
    {
      preview: async (input, ctx) => {
        const preview = await tool.preview(input, ctx);
        // After this preview nothing can be made there any more.
        setTimeout(() => void rm(work, { recursive: true, force: true }).then(() => writeFile(work, "")), 0);
        await new Promise((resolve) => setTimeout(resolve, 50));
        return preview;
      },
    },
  );
  expect(await call()).toMatchObject({ status: "failed", code: "not_started" });
  expect(ran).toBe(false);
});

test("a tool's error code and words of any size and kind end as one short masked line", async () => {
  world = await makeWorld();
  const secret = "AKIAIOSFODNN7EXAMPLQ";
  const thrown: unknown[] = [
    new NoEffect("x".repeat(100_000), `${"y".repeat(500)}\n${secret} ${"z".repeat(100_000)}`),
    new NoEffect(`key ${secret}`, ""),
    Object.create(null),
    undefined,
    Object.assign(new Error("m"), { message: { not: "text" } }),
  ];
  for (const error of thrown) {
    const call = await withExecute(() => Promise.reject(error as Error));
    const reply = await call();
    expect(reply.status).toMatch(/^(failed|unknown)$/);
    expect(JSON.stringify(reply)).not.toContain(secret);
    expect(JSON.stringify(reply).length).toBeLessThan(3_000);
    await world.close();
    world = await makeWorld();
  }
});

test("reconcile that answers nonsense, or never, leaves the outcome unknown", async () => {
  world = await makeWorld({ limits: { previewTimeoutMs: 300 } });
  const fails = () => Promise.reject(new Error("connection reset"));
  const call = await withExecute(fails, { reconcile: () => Promise.resolve("perhaps" as never) });
  expect(await call()).toMatchObject({ status: "unknown" });
  await world.close();
  world = await makeWorld({ limits: { previewTimeoutMs: 300 } });
  const hangs = await withExecute(fails, { reconcile: () => new Promise(() => undefined) });
  expect(await hangs()).toMatchObject({ status: "unknown" });
});

test("a tool that ignores its deadline is unknown, and what it does later is evidence (X2)", async () => {
  world = await makeWorld({ limits: { executeTimeoutMs: 200 } });
  const { tool, latch } = holdTool(writeNote(world.notes, BOOKS), "execute");
  const slow = await world.open({ tools: [tool] });
  const reply = await callTool(slow, "write_note", { book: "log", text: "x" }, { holdMs: 10_000 });
  expect(reply).toMatchObject({ status: "unknown" });
  // The world shows nothing yet; "not done" now would be a guess.
  latch.release();
  const { id } = slow.requests.list(1)[0]!;
  await expect.poll(async () => (await kindsOf(id)).at(-1), { timeout: 5_000 }).toBe("execution.late");
});

test("an outcome waits for a clock that jumped, as after a laptop slept, and is not lost (X2)", async () => {
  const clock = createFakeClock();
  world = await makeWorld({ clock });
  const { tool, latch } = holdTool(writeNote(world.notes, BOOKS), "execute");
  const slow = await world.open({ tools: [tool] });
  const call = callTool(slow, "write_note", { book: "log", text: "x" }, { holdMs: 60_000 });
  await latch.reached;
  clock.setWall(clock.now() + 3_600_000);
  latch.release();
  // The store believes the new time once it has held for five seconds.
  const moving = setInterval(() => clock.advance(1_000), 200);
  const reply = await call;
  clearInterval(moving);
  expect(reply).toMatchObject({ status: "done" });
  const { id } = slow.requests.list(1)[0]!;
  expect((await kindsOf(id)).at(-1)).toBe("execution.settled");
});

test("closing a home waits for what was sent, so that its outcome is in the log", async () => {
  world = await makeWorld();
  const { tool, latch } = holdTool(writeNote(world.notes, BOOKS), "execute");
  const slow = await world.open({ tools: [tool] });
  const call = callTool(slow, "write_note", { book: "log", text: "x" }, { holdMs: 10_000 });
  await latch.reached;
  const closing = slow.close();
  setTimeout(() => latch.release(), 100);
  await Promise.all([closing, call.catch(() => undefined)]);
  await world.home.store.catchUp();
  const { id } = world.home.requests.list(1)[0]!;
  expect((await kindsOf(id)).at(-1)).toBe("execution.settled");
});

test("without its policy file the steward goes on ending leases and running what was approved (X3)", async () => {
  world = await makeWorld({ steward: true });
  const door = join(world.notes.dir, "door-front");
  await callTool(world.home, "open_door", { door: "front", ms: 600 }, { holdMs: 5_000 });
  expect(existsSync(door)).toBe(true);
  await rm(world.settings.policyFile);
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  await decide(world, world.home, ticket, "ben");
  await expect.poll(() => world.notes.runs.includes("ledger"), { timeout: 8_000 }).toBe(true);
  await expect.poll(() => existsSync(door), { timeout: 8_000 }).toBe(false);
});

test("a revocation that hangs keeps the steward from nothing else, other leases included (X3)", async () => {
  world = await makeWorld();
  const door = openDoor(world.notes);
  const hanging: Tool = {
    ...door,
    revoke: (undo, ctx) =>
      (undo as { door: string }).door === "stuck" ? new Promise(() => undefined) : door.revoke(undo, ctx),
  };
  const home = await world.open({ tools: [hanging, writeNote(world.notes, BOOKS)] });
  await home.startSteward();
  await callTool(home, "open_door", { door: "stuck", ms: 100 }, { holdMs: 5_000 });
  await callTool(home, "open_door", { door: "fine", ms: 100 }, { holdMs: 5_000 });
  await expect.poll(() => existsSync(join(world.notes.dir, "door-fine")), { timeout: 30_000 }).toBe(false);
  const ticket = ticketOf(await callTool(home, "write_note", { book: "ledger", text: "x" }));
  await decide(world, home, ticket, "ben");
  await expect.poll(() => world.notes.runs.includes("ledger"), { timeout: 30_000 }).toBe(true);
});

test("a lease is not opened where the steward is gone by the time of the dispatch (design §11)", async () => {
  world = await makeWorld({
    rules: `rules:
  - { id: doors, match: { tool: open_door }, verdict: hold, approve: { by: [sre], within: 10m } }
`,
  });
  const gateway = await world.open();
  await gateway.startSteward();
  const ticket = ticketOf(await callTool(world.home, "open_door", { door: "back", ms: 1_000 }));
  await gateway.close();
  await decide(world, world.home, ticket, "ben");
  expect(await world.home.gate.wait(ticket, CALLER, { ...noWait, holdMs: 2_500 })).toMatchObject({
    status: "pending",
  });
  expect(existsSync(join(world.notes.dir, "door-back"))).toBe(false);
  // With one again it runs.
  await world.home.startSteward();
  await expect.poll(() => existsSync(join(world.notes.dir, "door-back")), { timeout: 8_000 }).toBe(true);
});

test("a grant that can't be started is tried again and again, and not in a busy loop", async () => {
  world = await makeWorld();
  const { tool } = holdTool(writeNote(world.notes, BOOKS), "guard");
  let guards = 0;
  const moody: Tool = {
    ...tool,
    guard: (plan, ctx) => {
      guards += 1;
      return writeNote(world.notes, BOOKS).guard(plan, ctx);
    },
  };
  const home = await world.open({ tools: [moody] });
  const ticket = ticketOf(await callTool(home, "write_note", { book: "ledger", text: "x" }));
  await decide(world, home, ticket, "ben");
  // Another process, whose tool is another one, may not claim: it looks once a second.
  const other = await world.open({ tools: [{ ...moody, definition: `sha256:${"0".repeat(64)}` as never }] });
  let caughtUp = 0;
  const catchUp = other.store.catchUp;
  (other.store as { catchUp: typeof catchUp }).catchUp = () => {
    caughtUp += 1;
    return catchUp();
  };
  expect(await other.gate.wait(ticket, CALLER, { ...noWait, holdMs: 2_500 })).toMatchObject({
    status: "pending",
  });
  expect(caughtUp).toBeLessThan(20);
  expect(guards).toBe(0);
});

test("a caller that only looks starts what waits for a caller (when_attached)", async () => {
  world = await makeWorld({
    steward: true,
    rules: `rules:
  - { id: attached, match: { tool: write_note }, verdict: hold, approve: { by: [sre], within: 10m, execute: when_attached } }
`,
  });
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  await decide(world, world.home, ticket, "ben");
  expect(await world.home.gate.wait(ticket, CALLER, noWait)).toMatchObject({ status: "pending" });
  await expect.poll(() => world.notes.runs, { timeout: 5_000 }).toEqual(["ledger"]);
});
