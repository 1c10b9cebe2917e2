import { afterEach, describe, expect, test } from "vitest";
import { newId } from "../../src/base/id.ts";
import type { Gate } from "../../src/gate/reply.ts";
import type { Effect } from "../../src/request/action-request.ts";
import type { Caller } from "../../src/request/principal.ts";
import { answerLegacyTask } from "../../src/transport/mcp/legacy-tasks.ts";
import { writeNote } from "../support/note-tools.ts";
import { BOOKS, CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// A handle in the wrong hands, or used for the wrong thing. Does taking a task back start it? Is somebody there who has
// gone, or whose token is good for less? Can a token that acts through somebody else move what the same principal and
// agent asked for without them? And what does it cost to ask for requests that never were?

let world: World;
afterEach(() => world.close());

const stays = new AbortController().signal;
const gone = AbortSignal.abort();
const WHEN_ATTACHED = `rules:
  - id: with-its-caller
    match: { tool: write_note }
    verdict: hold
    approve: { by: [sre], execute: when_attached }
`;
const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150));
const phaseOf = (ticket: string): string | undefined =>
  world.home.fold.state.requests.open.get(ticket as never)?.phase;
const held = async (caller: Caller = CALLER): Promise<string> =>
  ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }, { caller }));
const approve = async (ticket: string, person = "ben"): Promise<void> => {
  expect(await decide(world, world.home, ticket, person)).toMatchObject({ ok: true });
};

describe("a request that was granted and waits for its caller (execute: when_attached)", () => {
  test("is not started by taking its task back", async () => {
    world = await makeWorld({ rules: WHEN_ATTACHED });
    const ticket = await held();
    await approve(ticket);
    // A log that is busy: whatever the cancellation did before it takes the request back has time to go on.
    const busy: Gate = {
      ...world.home.gate,
      async withdraw(...args) {
        await soon();
        return world.home.gate.withdraw(...args);
      },
    };
    const parts = { gate: busy };
    const cancel = { method: "tasks/cancel", params: { taskId: ticket } };
    expect(await answerLegacyTask(parts, cancel, CALLER, stays)).toMatchObject({ status: "cancelled" });
    await soon();
    expect(world.notes.runs).toEqual([]);
  });

  test("is not started for a caller that gave up before it had the handle", async () => {
    world = await makeWorld({ rules: WHEN_ATTACHED });
    const attachment = { signal: gone, holdMs: 60_000, handleAfterMs: 500, lingerMs: 60_000 };
    const call = { tool: "write_note", arguments: { book: "ledger", text: "x" }, caller: CALLER };
    const ticket = ticketOf(await world.home.gate.call(call, attachment));
    await approve(ticket);
    await soon();
    expect(world.notes.runs).toEqual([]);
    expect(phaseOf(ticket)).toBe("granted");
  });
});

describe("a token of the same principal and agent that is good for less", () => {
  const only = (...permits: Effect[]): Caller => ({ ...CALLER, permits });
  const look = (ticket: string, caller: Caller, lingerMs = 60_000) =>
    world.home.gate.wait(ticket, caller, { signal: stays, holdMs: 0, lingerMs });

  test("sees where a request stands, and is not the caller that a grant waits for", async () => {
    world = await makeWorld({ rules: WHEN_ATTACHED });
    const ticket = await held(only("read", "write"));
    expect(await look(ticket, only("read"))).toMatchObject({ status: "pending" });
    await approve(ticket);
    expect(await look(ticket, only("read"))).toMatchObject({ status: "pending" });
    await soon();
    expect(world.notes.runs).toEqual([]);
    await look(ticket, only("write"));
    while (phaseOf(ticket) !== undefined) await soon();
    expect(world.notes.runs).toEqual(["ledger"]);
    expect(await look(ticket, only("read"))).toMatchObject({ status: "done" });
  });

  test("does not read what a result shows to the caller alone, nor takes it away", async () => {
    world = await makeWorld({ rules: WHEN_ATTACHED });
    const output = { book: "ledger", password: "hunter2" };
    const write = writeNote(world.notes, BOOKS);
    const execute = () => Promise.resolve({ output, undo: null });
    world.home = await world.open({ tools: [{ ...write, execute }] });
    const ticket = await held();
    await look(ticket, CALLER);
    await approve(ticket);
    while (phaseOf(ticket) !== undefined) await soon();
    const seen = await look(ticket, only("read"));
    expect(seen).toMatchObject({ status: "done" });
    expect(JSON.stringify(seen)).not.toContain("hunter2");
    expect(await look(ticket, CALLER)).toMatchObject({ status: "done", output });
  });
});

describe("a token that acts through somebody (RFC 8693)", () => {
  const issuer = "https://idp.test";
  const AGENTS = `
  worker: { owners: [ana], oidc: { issuer: "${issuer}", subject: worker-1 } }
  planner: { owners: [eva], oidc: { issuer: "${issuer}", subject: planner-1 } }`;
  const through = (...actors: readonly string[]): Caller => ({
    principal: { kind: "oidc", issuer, subject: "ana", isClient: false },
    agent: null,
    acting: { issuer, client: null, actors: ["worker-1", ...actors] },
    transport: "http",
    client: null,
  });
  const wait = (ticket: string, caller: Caller) =>
    world.home.gate.wait(ticket, caller, { signal: stays, holdMs: 0 });
  const chainOf = (ticket: string): readonly string[] | undefined =>
    world.home.fold.state.requests.open.get(ticket as never)?.received.requester.chain;

  test("is asked about by itself: nobody approves its call by approving the same one without it (C1, D1)", async () => {
    world = await makeWorld({ agents: AGENTS });
    const direct = await held(through());
    const viaBen = await held(through("ben"));
    expect(viaBen).not.toBe(direct);
    expect(chainOf(direct)).toEqual([]);
    expect(chainOf(viaBen)).toEqual(["ben"]);
    expect(await decide(world, world.home, viaBen, "ben")).toMatchObject({
      ok: false,
      error: { code: "self_approval" },
    });
    expect(await held(through("ben"))).toBe(viaBen);
    expect(await held(through())).toBe(direct);
  });

  test("neither sees, answers nor takes back what was asked without them, or through others (R1)", async () => {
    world = await makeWorld({ agents: AGENTS });
    const direct = await held(through());
    const viaPlanner = await held(through("planner-1"));
    for (const [ticket, caller] of [
      [direct, through("ben")],
      [direct, through("planner-1")],
      [viaPlanner, through()],
      [viaPlanner, through("ben")],
      [viaPlanner, through("planner-1", "ben")],
    ] as const) {
      expect(await wait(ticket, caller)).toMatchObject({ code: "unknown_ticket" });
      expect(await world.home.gate.withdraw(ticket, caller, null)).toMatchObject({ code: "unknown_ticket" });
      const answer = { inquiry: "x", text: "y" };
      expect(await world.home.gate.answer(ticket, caller, answer)).toMatchObject({ code: "unknown_ticket" });
    }
    expect(await wait(direct, through())).toMatchObject({ status: "pending" });
    expect(await wait(viaPlanner, through("planner-1"))).toMatchObject({ status: "pending" });
    expect(await world.home.gate.withdraw(viaPlanner, through("planner-1"), null)).toMatchObject({
      code: "withdrawn",
    });
    expect(await wait(viaPlanner, through("planner-1"))).toMatchObject({ code: "withdrawn" });
    expect(await wait(viaPlanner, through())).toMatchObject({ code: "unknown_ticket" });
  });
});

test("looking for requests that never were has an end, and costs nobody else anything", async () => {
  world = await makeWorld();
  const own = await held();
  const madeUp = (): Promise<unknown> =>
    world.home.gate.wait(newId("req", Date.now() - 60_000), CALLER, { signal: stays, holdMs: 0 });
  const codes = new Set<unknown>();
  for (let i = 0; i < 80; i += 1) codes.add(((await madeUp()) as { code?: unknown }).code);
  expect([...codes]).toEqual(["unknown_ticket", "rate_limited"]);
  // What is at hand is answered as ever, and so is everybody else.
  expect(await world.home.gate.wait(own, CALLER, { signal: stays, holdMs: 0 })).toMatchObject({
    ticket: own,
  });
  const other: Caller = { ...CALLER, principal: { kind: "named", id: "chi" } };
  expect(
    await world.home.gate.wait(newId("req", Date.now()), other, { signal: stays, holdMs: 0 }),
  ).toMatchObject({ code: "unknown_ticket" });
});
