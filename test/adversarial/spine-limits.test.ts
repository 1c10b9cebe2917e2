import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import type { Tool } from "../../src/tool.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { holdTool } from "../support/held-tool.ts";
import { writeNote } from "../support/note-tools.ts";
import { BOOKS, CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// Can an agent, or a person with a valid key, fill the log or the disk, or make the gate fail instead of answer?

let world: World;
afterEach(async () => {
  // Whatever was tried, the record of it verifies.
  const report = await verifyLog(join(world.settings.dataDir, "log"));
  await world.close();
  if (!report.ok) throw new Error(JSON.stringify(report.findings));
});

test("an agent that names itself anew with every call does not get around the limit", async () => {
  world = await makeWorld({ limits: { heldPerMinute: 5 } });
  const size = world.home.store.head().size;
  for (let i = 0; i < 40; i += 1) {
    const caller = { ...CALLER, agent: `ghost${i}` };
    expect(await callTool(world.home, "write_note", { book: "log", text: "x" }, { caller })).toMatchObject({
      code: "unknown_requester",
    });
  }
  expect(world.home.store.head().size - size).toBe(5);
});

test("an agent's name can't put lines into what an operator is told to copy (P3)", async () => {
  world = await makeWorld();
  const agent = "x: { owners: [eva] } }\n  people: { eve";
  const reply = await callTool(world.home, "write_note", {}, { caller: { ...CALLER, agent } });
  expect(reply).toMatchObject({ code: "unknown_requester" });
  expect(JSON.stringify(reply)).not.toContain("eva");
});

test("a full disk is not filled further with entries that say so", async () => {
  world = await makeWorld({ limits: { minFreeBytes: Number.MAX_SAFE_INTEGER } });
  const size = world.home.store.head().size;
  for (let i = 0; i < 5; i += 1) {
    expect(await callTool(world.home, "write_note", { book: "log", text: `${i}` })).toMatchObject({
      code: "disk_low",
    });
  }
  expect(world.home.store.head().size).toBe(size);
});

test("documents of denied and failed calls count for the day as those of allowed ones do", async () => {
  world = await makeWorld({ limits: { blobBytesPerDay: 30_000 } });
  const replies = [];
  for (let i = 0; i < 4; i += 1) {
    const text = `forbidden ${i} ${"x".repeat(5_000)}`;
    replies.push(await callTool(world.home, "write_note", { book: "log", text }));
  }
  expect(replies.map((reply) => "code" in reply && reply.code)).toEqual([
    "denied_by_policy",
    "denied_by_policy",
    "rate_limited",
    "rate_limited",
  ]);
});

test("a call whose record does not fit into an entry is refused, and the log says who tried", async () => {
  world = await makeWorld();
  const tool = writeNote(world.notes, BOOKS);
  const wide: Tool = {
    ...tool,
    targets: () =>
      Array.from({ length: 2_000 }, (_, i) => ({ kind: "book", id: `b${i}`.repeat(8), environment: "demo" })),
  };
  const home = await world.open({ tools: [wide] });
  expect(await callTool(home, "write_note", { book: "log", text: "x" })).toMatchObject({
    status: "refused",
    code: "call_too_large",
  });
  expect(world.notes.runs).toEqual([]);
  const [newest] = await home.store.newestEntries(1);
  expect(newest).toMatchObject({ kind: "request.refused", data: { attempt: { agent: "claude" } } });
});

test("a client that says very much of itself is recorded by a short name", async () => {
  world = await makeWorld();
  const caller = { ...CALLER, client: { name: "n".repeat(100_000), version: "v".repeat(100_000) } };
  expect(
    await callTool(world.home, "write_note", { book: "log", text: "x" }, { caller, holdMs: 5_000 }),
  ).toMatchObject({ status: "done" });
});

test("a person who approves and takes back by turns is heard twenty times, and can still deny", async () => {
  world = await makeWorld();
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "safe", text: "x" }));
  for (let i = 0; i < 10; i += 1) {
    expect(await decide(world, world.home, ticket, "ben", "approve", { reason: `${i}` })).toMatchObject({
      ok: true,
    });
    expect(await decide(world, world.home, ticket, "ben", "take_back")).toMatchObject({ ok: true });
  }
  expect(await decide(world, world.home, ticket, "ben", "approve", { reason: "11" })).toMatchObject({
    ok: false,
    error: { code: "duplicate" },
  });
  expect(await decide(world, world.home, ticket, "ben", "deny")).toMatchObject({ ok: true });
});

test("a deny counts also where the document that was shown is lost (C3)", async () => {
  world = await makeWorld();
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  const record = world.home.fold.state.requests.open.get(ticket as never)!;
  await world.home.store.blobs.erase(record.planned!.view!);
  await expect(decide(world, world.home, ticket, "ben")).rejects.toMatchObject({ code: "BLOB_MISSING" });
  expect(await decide(world, world.home, ticket, "chi", "deny")).toMatchObject({ ok: true });
});

test("a result that is kept no longer does not turn a re-sent call into a fault", async () => {
  world = await makeWorld();
  const call = { book: "log", text: "x" };
  await callTool(world.home, "write_note", call, { callId: "one", holdMs: 5_000 });
  const { id } = world.home.requests.list(1)[0]!;
  const settled = (await world.home.requests.history(id)).at(-1);
  if (settled?.kind !== "execution.settled" || settled.data.output === null) throw new Error("no output");
  await world.home.store.blobs.erase(settled.data.output);
  expect(await callTool(world.home, "write_note", call, { callId: "one" })).toMatchObject({
    status: "done",
    output: null,
  });
});

test("a secret in the reason of a withdrawal is not in the log (L3)", async () => {
  world = await makeWorld();
  const secret = "AKIAIOSFODNN7EXAMPLQ";
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  await world.home.gate.withdraw(ticket, CALLER, `used ${secret} by mistake`);
  expect(await readFile(join(world.settings.dataDir, "log", "000001.jsonl"), "utf8")).not.toContain(secret);
});

test("a file that changes all the time is proposed once in a while, its newest text at last (P6)", async () => {
  const clock = createFakeClock();
  world = await makeWorld({ clock });
  const file = world.settings.policyFile;
  const text = await readFile(file, "utf8");
  const seen: string[] = [];
  for (let i = 0; i < 20; i += 1) {
    await writeFile(file, `${text}\n# ${i}\nx${i}: 1\n`);
    seen.push(await world.home.adoption.checkFiles());
  }
  expect(seen.filter((one) => one === "reported")).toHaveLength(1);
  clock.advance(16_000);
  expect(await world.home.adoption.checkFiles()).toBe("reported");
  expect((await world.home.store.newestEntries(1))[0]).toMatchObject({
    data: { errors: [expect.stringContaining("x19")] },
  });
});

test("nothing is allowed on a clock that fell behind, or a plan that ran out, while the preview ran (G3)", async () => {
  const clock = createFakeClock();
  world = await makeWorld({ clock });
  const tool = writeNote(world.notes, BOOKS);
  const behind = holdTool(tool, "preview");
  const slow = await world.open({ tools: [behind.tool] });
  const call = callTool(slow, "write_note", { book: "log", text: "x" }, { holdMs: 5_000 });
  await behind.latch.reached;
  clock.setWall(clock.now() - 60_000);
  behind.latch.release();
  expect(await call).toMatchObject({ status: "refused", code: "clock_behind" });
  clock.setWall(clock.now() + 60_000);
  const brief: Tool = {
    ...tool,
    preview: async (input, ctx) => {
      const preview = await tool.preview(input, ctx);
      return { ...preview, expiresAt: clock.now() + 1_000 };
    },
  };
  const other = await world.open({ tools: [brief] });
  // The previewer looks at the time when the preview is done; storing it takes a while.
  const { place } = other.store.blobs;
  Object.assign(other.store.blobs, {
    place: (...documents: Parameters<typeof place>) => {
      clock.advance(2_000);
      return place(...documents);
    },
  });
  const reply = await callTool(other, "write_note", { book: "log", text: "y" }, { holdMs: 5_000 });
  expect(reply).toMatchObject({ status: "refused" });
  expect(world.notes.runs).toEqual([]);
});

test("what the agent is told of a log that can't be written names no file and no cause (P4)", async () => {
  world = await makeWorld();
  await world.home.store.close();
  const reply = await callTool(world.home, "write_note", { book: "log", text: "x" });
  expect(reply).toMatchObject({ status: "refused", code: "gate_closed" });
  expect(reply).toMatchObject({ message: "the gateway could not write its log and has closed" });
});
