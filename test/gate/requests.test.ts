import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { MAX_REASONING_BYTES } from "../../src/request/reasoning.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

let world: World;
const start = async (options: Parameters<typeof makeWorld>[0] = {}): Promise<World> =>
  (world = await makeWorld(options));
afterEach(() => world.close());

const noWait = { signal: new AbortController().signal, holdMs: 0 };
const ledger = { book: "ledger", text: "x" };

test("the same call while it is pending returns the same ticket; another principal gets its own", async () => {
  await start();
  const ticket = ticketOf(await callTool(world.home, "write_note", ledger));
  expect(ticketOf(await callTool(world.home, "write_note", { ...ledger, justification: "again" }))).toBe(
    ticket,
  );
  const asBen = { ...CALLER, principal: { kind: "named", id: "ben" } as const };
  expect(ticketOf(await callTool(world.home, "write_note", ledger, { caller: asBen }))).not.toBe(ticket);
  // And nobody can look at or withdraw another's ticket.
  expect(await world.home.gate.wait(ticket, asBen, noWait)).toMatchObject({ code: "unknown_ticket" });
  expect(await world.home.gate.withdraw(ticket, asBen, null)).toMatchObject({ code: "unknown_ticket" });
});

test("identical calls at once become one request and one preview each process", async () => {
  await start();
  const second = await world.open();
  const replies = await Promise.all(
    Array.from({ length: 12 }, (_, i) => callTool(i % 2 === 0 ? world.home : second, "write_note", ledger)),
  );
  expect(new Set(replies.map(ticketOf)).size).toBe(1);
});

test("a re-sent call after done does not run again, by call id and, without one, for ten minutes", async () => {
  const clock = createFakeClock();
  await start({ clock });
  const log = { book: "log", text: "once" };
  const first = await callTool(world.home, "write_note", log, { callId: "toolu_1", holdMs: 5_000 });
  expect(first).toMatchObject({ status: "done" });
  expect(await callTool(world.home, "write_note", log, { callId: "toolu_1" })).toEqual({
    ...first,
    repeats: expect.stringMatching(/^\d{4}-/) as string,
  });
  expect(world.notes.runs).toHaveLength(1);
  expect(
    await callTool(world.home, "write_note", { ...log, text: "other" }, { callId: "toolu_1" }),
  ).toMatchObject({ status: "refused", code: "key_reused" });
  // A new call id means it is wanted again.
  await callTool(world.home, "write_note", log, { callId: "toolu_2", holdMs: 5_000 });
  expect(world.notes.runs).toHaveLength(2);
  // Without any id the action itself answers, until ten minutes are over.
  await callTool(world.home, "write_note", { book: "log", text: "plain" }, { holdMs: 5_000 });
  await callTool(world.home, "write_note", { book: "log", text: "plain" }, { holdMs: 5_000 });
  expect(world.notes.runs).toHaveLength(3);
  clock.advance(10 * 60_000 + 1);
  await callTool(world.home, "write_note", { book: "log", text: "plain" }, { holdMs: 5_000 });
  expect(world.notes.runs).toHaveLength(4);
});

test("a caller that goes away withdraws nothing; the request runs when it is approved", async () => {
  await start({ steward: true });
  const gone = new AbortController();
  const call = callTool(world.home, "write_note", ledger, { holdMs: 60_000, signal: gone.signal });
  await expect.poll(() => world.home.desk.pending().length).toBe(1);
  gone.abort();
  const ticket = ticketOf(await call);
  await decide(world, world.home, ticket, "ben");
  await expect.poll(() => world.notes.runs, { timeout: 5_000 }).toEqual(["ledger"]);
  await expect
    .poll(async () => (await world.home.gate.wait(ticket, CALLER, noWait)).status, { timeout: 5_000 })
    .toBe("done");
});

test("the caller can withdraw until the claim, and then it can't be approved", async () => {
  await start();
  const ticket = ticketOf(await callTool(world.home, "write_note", ledger));
  expect(await world.home.gate.withdraw(ticket, CALLER, "changed my mind")).toMatchObject({
    status: "refused",
    class: "withdrawn",
  });
  expect(await decide(world, world.home, ticket, "ben").catch((e: { code: string }) => e.code)).toBe(
    "REQUEST_NOT_FOUND",
  );
  expect(world.notes.runs).toEqual([]);
});

test("a world that moved between approval and execution makes the request stale, and nothing runs (D3)", async () => {
  await start();
  const ticket = ticketOf(await callTool(world.home, "write_note", ledger));
  await writeFile(join(world.notes.dir, "ledger"), "somebody else was here");
  await decide(world, world.home, ticket, "ben");
  expect(await world.home.gate.wait(ticket, CALLER, { ...noWait, holdMs: 5_000 })).toMatchObject({
    status: "refused",
    code: "stale",
    class: "stale",
  });
  expect(world.notes.runs).toEqual([]);
  expect(await readFile(join(world.notes.dir, "ledger"), "utf8")).toBe("somebody else was here");
});

test("execute gets the sealed plan, not the agent's arguments (D2)", async () => {
  await start();
  const reply = await callTool(
    world.home,
    "write_note",
    { book: "log", text: "loud", loud: true },
    { holdMs: 5_000 },
  );
  expect(reply).toMatchObject({ status: "done" });
  expect(await readFile(join(world.notes.dir, "log"), "utf8")).toBe("LOUD");
});

test("an unknown requester is denied and told which lines to add (C1)", async () => {
  await start();
  const nobody = { ...CALLER, principal: { kind: "os", account: "1000@laptop" } as const };
  const reply = await callTool(world.home, "write_note", ledger, { caller: nobody });
  expect(reply).toMatchObject({ status: "refused", code: "unknown_requester", class: "denied_final" });
  expect(JSON.stringify(reply)).toContain('os: [\\"1000@laptop\\"]');
  expect(
    await callTool(world.home, "write_note", ledger, { caller: { ...CALLER, agent: null } }),
  ).toMatchObject({
    code: "unknown_requester",
  });
  expect(
    await callTool(world.home, "write_note", ledger, { caller: { ...CALLER, agent: "ghost" } }),
  ).toMatchObject({ code: "unknown_requester" });
});

test("a failed preview is fixable, says our words and is never a hold (P4)", async () => {
  await start();
  const reply = await callTool(world.home, "write_note", { book: "ledger", text: "PREVIEW_FAILS" });
  expect(reply).toMatchObject({ status: "refused", code: "preview_failed", class: "denied_fixable" });
  expect(JSON.stringify(reply)).not.toContain("secret backend words");
  expect(JSON.stringify(reply)).toContain("the book cannot be read");
});

test("before a grant the caller is told nothing of the preview (P4)", async () => {
  await start();
  await writeFile(join(world.notes.dir, "ledger"), "classified");
  const reply = await callTool(world.home, "write_note", ledger);
  expect(Object.keys(reply).sort()).toEqual(
    ["because", "code", "deadline", "inquiries", "retryAfterMs", "status", "ticket", "waitingFor"].sort(),
  );
  expect(JSON.stringify(reply)).not.toContain("characters");
});

test("bad arguments are refused with their place, and stand in the log as attempts", async () => {
  await start();
  const bad: [unknown, string][] = [
    [{ book: "ledger" }, "/text"],
    [{ book: "ledger", text: 5 }, "/text"],
    [{ ...ledger, extra: 1 }, "extra"],
    [{ book: "../etc", text: "x" }, "/book"],
    ["not an object", "object"],
    [{ ...ledger, n: 2 ** 60 }, "2^53"],
    [{ ...ledger, s: "\ud800" }, "surrogate"],
    [JSON.parse('{"book":"ledger","text":"x","__proto__":{"a":1}}'), "__proto__"],
  ];
  for (const [args, hint] of bad) {
    const reply = await callTool(world.home, "write_note", args as Record<string, unknown>);
    expect(reply).toMatchObject({ status: "refused", code: "invalid_arguments", class: "denied_fixable" });
    expect(JSON.stringify(reply)).toContain(hint);
  }
  expect(await callTool(world.home, "rm_rf", {})).toMatchObject({ code: "unknown_tool" });
  expect(await callTool(world.home, "write_note", { book: "nobook", text: "x" })).toMatchObject({
    code: "target_unknown",
  });
  expect(world.home.requests.list(20).filter((summary) => summary.phase === "refused")).toHaveLength(10);
});

test("oversized arguments and reasoning are refused whole, not cut", async () => {
  await start();
  expect(
    await callTool(world.home, "write_note", { book: "ledger", text: "x", pad: "y".repeat(1024 * 1024) }),
  ).toMatchObject({ code: "call_too_large" });
  expect(
    await callTool(world.home, "write_note", ledger, {
      reasoning: { blocks: ["z".repeat(MAX_REASONING_BYTES)] },
    }),
  ).toMatchObject({ code: "call_too_large" });
});

test("justification and reasoning are recorded as claims and shown to the approver", async () => {
  await start();
  const ticket = ticketOf(
    await callTool(
      world.home,
      "write_note",
      { ...ledger, justification: "the boss said so" },
      { reasoning: { blocks: [{ type: "thinking", thinking: "hm" }] } },
    ),
  );
  const open = await world.home.desk.open(ticket as never);
  expect(open.view.reasoning).toEqual({
    justification: "the boss said so",
    chain: '{"blocks":[{"thinking":"hm","type":"thinking"}]}',
  });
  expect(open.question.reasoning).toMatch(/^sha256:/);
});

test("a flood is limited, and is one throttled entry and not one a call", async () => {
  await start({ limits: { heldPerMinute: 5 } });
  const replies = [];
  for (let i = 0; i < 50; i += 1) {
    replies.push(await callTool(world.home, "write_note", { book: "log", text: `n${i}` }, { holdMs: 5_000 }));
  }
  expect(replies.filter((reply) => reply.status === "done")).toHaveLength(5);
  expect(replies.at(-1)).toMatchObject({ status: "refused", code: "rate_limited" });
  const size = world.home.store.head().size;
  await world.home.startSteward();
  await expect
    .poll(async () => (await world.home.store.newestEntries(5)).filter((e) => e.kind === "throttled").length)
    .toBe(1);
  expect(world.home.store.head().size - size).toBeLessThan(5);
});

test("open requests of one agent are capped", async () => {
  await start({ limits: { openRequests: 3 } });
  for (let i = 0; i < 3; i += 1)
    ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: `${i}` }));
  expect(await callTool(world.home, "write_note", { book: "ledger", text: "one more" })).toMatchObject({
    code: "rate_limited",
  });
});

test("a clock behind the log grants and claims nothing, and says so; denies still count", async () => {
  const clock = createFakeClock();
  await start({ clock });
  const ticket = ticketOf(await callTool(world.home, "write_note", ledger));
  clock.setWall(clock.now() - 60_000);
  expect(await callTool(world.home, "write_note", { book: "log", text: "y" })).toMatchObject({
    code: "clock_behind",
  });
  expect(await decide(world, world.home, ticket, "ben")).toMatchObject({
    ok: false,
    error: { code: "clock_behind" },
  });
  expect(await decide(world, world.home, ticket, "ben", "deny")).toMatchObject({ ok: true });
  expect(world.notes.runs).toEqual([]);
});

test("no secret of the arguments stands in an entry (L3)", async () => {
  await start();
  const secret = "AKIAIOSFODNN7EXAMPLQ";
  ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: `key ${secret}` }));
  const log = await readFile(join(world.settings.dataDir, "log", "000001.jsonl"), "utf8");
  expect(log).not.toContain(secret);
});

test("a wall clock set back lengthens no deadline that the gateway has been watching (C5, G3)", async () => {
  const clock = createFakeClock();
  await start({ clock });
  const ticket = ticketOf(await callTool(world.home, "write_note", ledger));
  clock.advance(29 * 60_000);
  clock.setWall(clock.now() - 29 * 60_000);
  clock.advance(60_001);
  expect(await decide(world, world.home, ticket, "ben")).toMatchObject({
    ok: false,
    error: { code: "expired" },
  });
  expect(await world.home.gate.wait(ticket, CALLER, noWait)).toMatchObject({ code: "expired" });
});
