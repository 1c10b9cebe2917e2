import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { createFakeClock } from "../support/fake-clock.ts";
import { CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

let world: World;
const start = async (options: Parameters<typeof makeWorld>[0] = {}): Promise<World> =>
  (world = await makeWorld(options));
afterEach(() => world.close());

const noWait = { signal: new AbortController().signal, holdMs: 0 };
const note = (text: string) => callTool(world.home, "write_note", { book: "log", text }, { holdMs: 5_000 });
const kindsOf = async (ticket: string): Promise<string[]> =>
  (await world.home.requests.history(ticket as never)).map((entry) => entry.kind);

test("a tool that knows that nothing changed failed", async () => {
  await start();
  expect(await note("NO_EFFECT")).toMatchObject({ status: "failed", code: "refused_by_backend" });
});

test("documents that do not reach the disk keep the tool from being called (L1, X1)", async () => {
  await start();
  const { blobs } = world.home.store;
  const { place } = blobs;
  const disk = Object.assign(new Error("i/o error"), { code: "EIO" });
  Object.assign(blobs, {
    place: async (wanted: Parameters<typeof place>[0]) => {
      const durable = Promise.reject(disk);
      durable.catch(() => undefined);
      return { ...(await place(wanted)), durable };
    },
  });
  expect(await note("x")).toMatchObject({ status: "failed", code: "not_started" });
  expect(world.notes.runs).toEqual([]);
  // A question is not asked either, and no ticket leaves.
  await expect(callTool(world.home, "write_note", { book: "ledger", text: "x" })).rejects.toBe(disk);
  Object.assign(blobs, { place });
  expect(await note("x")).toMatchObject({ status: "done" });
  expect(world.notes.runs).toEqual(["log"]);
});

test("a lost reply is asked about, and never run again on a guess (X2)", async () => {
  await start();
  expect(await note("LOST_REPLY")).toMatchObject({ status: "done" });
  expect(world.notes.runs).toHaveLength(1);
});

test("an outcome that nobody can tell is unknown, keeps its call, and a person settles it (X2)", async () => {
  await start();
  const reply = await note("LOST_REPLY CANNOT_TELL");
  expect(reply).toMatchObject({ status: "unknown" });
  // The same call is answered by the unknown one and does not run.
  expect(await note("LOST_REPLY CANNOT_TELL")).toMatchObject({ status: "unknown" });
  expect(world.notes.runs).toHaveLength(1);
  const { id } = world.home.requests.list(1)[0]!;
  await world.home.resolveUnknown(id, "done", "ben", "looked at the book");
  expect(await world.home.gate.wait(id, CALLER, noWait)).toMatchObject({ status: "done" });
  await expect(world.home.resolveUnknown(id, "failed", "ben", "again")).rejects.toMatchObject({
    code: "REQUEST_NOT_FOUND",
  });
});

test("a grant that nobody started in time is void (G3)", async () => {
  const clock = createFakeClock();
  await start({ clock });
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  await decide(world, world.home, ticket, "ben");
  clock.advance(10 * 60_000 + 1);
  expect(await world.home.gate.wait(ticket, CALLER, { ...noWait, holdMs: 2_000 })).toMatchObject({
    status: "refused",
    code: "expired",
  });
  expect(world.notes.runs).toEqual([]);
});

test("two processes at the same grant: one claims, it runs once (G3, X1)", async () => {
  await start({ steward: true });
  const second = await world.open();
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  await second.store.catchUp();
  await decide(world, second, ticket, "ben");
  const replies = await Promise.all(
    [world.home, second, world.home, second].map((home) =>
      home.gate.wait(ticket, CALLER, { ...noWait, holdMs: 8_000 }),
    ),
  );
  for (const reply of replies) expect(reply).toMatchObject({ status: "done" });
  expect(world.notes.runs).toEqual(["ledger"]);
  expect((await kindsOf(ticket)).filter((kind) => kind === "execution.dispatched")).toHaveLength(1);
});

test("a rule that says when_attached waits for the caller (design §11)", async () => {
  await start({
    steward: true,
    rules: `rules:
  - { id: attached, match: { tool: write_note }, verdict: hold, approve: { by: [sre], within: 10m, execute: when_attached } }
`,
  });
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  await decide(world, world.home, ticket, "ben");
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(world.notes.runs).toEqual([]);
  expect(await world.home.gate.wait(ticket, CALLER, { ...noWait, holdMs: 5_000 })).toMatchObject({
    status: "done",
  });
});

test("a lease is opened with its dispatch and ended when its time is up (X3)", async () => {
  await start({ steward: true });
  const door = join(world.notes.dir, "door-front");
  expect(
    await callTool(world.home, "open_door", { door: "front", ms: 700 }, { holdMs: 5_000 }),
  ).toMatchObject({
    status: "done",
  });
  expect(existsSync(door)).toBe(true);
  const { id } = world.home.requests.list(1)[0]!;
  const lines = (await readFile(join(world.settings.dataDir, "log", "000001.jsonl"), "utf8"))
    .trim()
    .split("\n");
  const batch = lines.map((line) => JSON.parse(line) as { kind: string; more?: number });
  const dispatched = batch.findIndex((entry) => entry.kind === "execution.dispatched");
  // `more` says that the lease is in the very batch of the dispatch.
  expect(batch[dispatched]?.more).toBe(1);
  expect(batch[dispatched + 1]?.kind).toBe("lease.opened");
  await expect.poll(() => existsSync(door), { timeout: 8_000 }).toBe(false);
  expect(id).toBeTruthy();
});

test("a lease that can't be ended is tried again until it is, also after a restart (X3)", async () => {
  await start({ steward: true });
  let fail = true;
  world.notes.before = () => {
    if (fail) throw new Error("backend away");
  };
  await callTool(world.home, "open_door", { door: "side", ms: 100 }, { holdMs: 5_000 });
  await expect
    .poll(() => world.notes.runs.filter((run) => run === "close side").length, { timeout: 8_000 })
    .toBeGreaterThan(0);
  await world.home.close();
  world.home = await world.open();
  await world.home.startSteward();
  fail = false;
  await expect.poll(() => existsSync(join(world.notes.dir, "door-side")), { timeout: 8_000 }).toBe(false);
});

test("without a steward nothing is granted that countersign would have to end (design §11)", async () => {
  await start();
  expect(await callTool(world.home, "open_door", { door: "back", ms: 1_000 })).toMatchObject({
    status: "refused",
    code: "needs_service",
  });
  expect(existsSync(join(world.notes.dir, "door-back"))).toBe(false);
});

test("a result that comes after the outcome was settled as unknown is evidence only (X2)", async () => {
  await start();
  let release = (): void => undefined;
  world.notes.after = () => new Promise((resolve) => (release = resolve));
  const call = callTool(world.home, "write_note", { book: "log", text: "slow" }, { holdMs: 300 });
  const ticket = ticketOf(await call);
  await expect.poll(() => world.notes.runs.length).toBe(1);
  // Somebody takes the process for dead.
  const record = world.home.fold.state.requests.open.get(ticket as never)!;
  const execution = world.home.fold.state.executions.open.get(ticket as never)!;
  await world.home.store.append({
    expect: [{ subject: ticket, newest: record.newestSeq }],
    newKeys: [],
    entries: [
      {
        kind: "execution.settled",
        subject: ticket,
        policy: null,
        data: {
          grant: execution.grant,
          outcome: "unknown",
          summary: "?",
          output: null,
          undo: null,
          error: null,
        },
      },
    ],
  });
  release();
  await expect.poll(async () => (await kindsOf(ticket)).at(-1), { timeout: 5_000 }).toBe("execution.late");
  expect(await world.home.gate.wait(ticket, CALLER, noWait)).toMatchObject({ status: "unknown" });
});

test("sealed bytes are erased once a request has ended, and the log says so", async () => {
  const clock = createFakeClock();
  await start({ clock });
  await note("sealed");
  const { id } = world.home.requests.list(1)[0]!;
  expect(await world.home.store.blobs.sealedRequests()).toEqual([id]);
  clock.advance(11 * 60_000);
  await world.home.startSteward();
  await expect.poll(() => world.home.store.blobs.sealedRequests(), { timeout: 8_000 }).toEqual([]);
  expect((await world.home.store.newestEntries(3)).some((entry) => entry.kind === "blob.erased")).toBe(true);
});

test("state survives a restart: open questions, grants and recognition", async () => {
  await start();
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  await world.home.close();
  world.home = await world.open();
  expect(ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }))).toBe(ticket);
  await decide(world, world.home, ticket, "ben");
  await world.home.close();
  await writeFile(join(world.settings.dataDir, "state.json"), "torn");
  world.home = await world.open();
  expect(await world.home.gate.wait(ticket, CALLER, { ...noWait, holdMs: 5_000 })).toMatchObject({
    status: "done",
  });
  expect(world.notes.runs).toEqual(["ledger"]);
});
