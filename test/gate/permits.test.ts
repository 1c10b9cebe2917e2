import { afterEach, expect, test } from "vitest";
import type { Effect } from "../../src/request/action-request.ts";
import type { Caller } from "../../src/request/principal.ts";
import { readNote } from "../support/note-tools.ts";
import { CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// What a token may be used for narrows what its holder may ask, whatever the policy allows, and never widens it.

let world: World;
afterEach(() => world.close());
const only = (...permits: Effect[]): Caller => ({ ...CALLER, permits });
const write = (caller: Caller, book = "log") =>
  callTool(world.home, "write_note", { book, text: "x" }, { caller, holdMs: 5_000 });

test("a token without the effect of a call is refused before anything is previewed or asked", async () => {
  world = await makeWorld();
  expect(await write(only("read"))).toMatchObject({
    status: "refused",
    code: "insufficient_scope",
    class: "denied_fixable",
    deniedBy: "gate",
    message: "this call is a write, and the token that came with it is good for read",
  });
  expect(await write(only())).toMatchObject({ code: "insufficient_scope" });
  expect(world.notes.runs).toEqual([]);
  expect(world.home.desk.pending()).toEqual([]);
  expect(await write(only("read", "write"))).toMatchObject({ status: "done" });
});

test("no effect implies another: what may write may not read", async () => {
  world = await makeWorld();
  const read = (caller: Caller) =>
    callTool(world.home, "read_note", { book: "log" }, { caller, holdMs: 5_000 });
  expect(await read(only("write", "destructive", "privilege"))).toMatchObject({ code: "insufficient_scope" });
  expect(await read(only("read"))).toMatchObject({ status: "done" });
});

test("a permit makes nothing allowed: a hold is still a hold", async () => {
  world = await makeWorld();
  expect(await write(only("read", "write", "destructive", "privilege"), "ledger")).toMatchObject({
    status: "pending",
  });
});

test("an effect that the arguments decide is judged with them", async () => {
  world = await makeWorld();
  const byBook = {
    ...readNote(world.notes),
    fixedEffect: null,
    effect: (input: object) =>
      "book" in input && input.book === "log" ? ("read" as const) : ("destructive" as const),
  };
  const home = await world.open({ tools: [byBook] });
  const call = (book: string) =>
    callTool(home, "read_note", { book }, { caller: only("read", "write"), holdMs: 5_000 });
  expect(await call("ledger")).toMatchObject({ code: "insufficient_scope" });
  expect(await call("log")).toMatchObject({ status: "done" });
});

test("beyondPermit tells what such a call would be told, records it once, and lets every other call be made", async () => {
  world = await makeWorld();
  const ask = (tool: string, args: object, caller: Caller) =>
    world.home.gate.beyondPermit({ tool, arguments: args, caller });
  const beyond = await ask("write_note", { book: "log", text: "x" }, only("read"));
  expect(beyond).toMatchObject({ effect: "write", reply: { code: "insufficient_scope" } });
  expect(world.home.requests.list(10)).toMatchObject([
    { phase: "refused", reasonCode: "insufficient_scope" },
  ]);
  expect(await ask("write_note", { book: "log", text: "x" }, CALLER)).toBeNull();
  expect(await ask("write_note", { book: "log", text: "x" }, only("write"))).toBeNull();
  // What is wrong with them otherwise is for the call itself to say.
  expect(await ask("no_such_tool", {}, only("read"))).toBeNull();
  expect(await ask("write_note", {}, { ...only("read"), agent: "ghost" })).toBeNull();
});

test("a token without the effect can still wait for what its requester asked before", async () => {
  world = await makeWorld({ steward: true });
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  await decide(world, world.home, ticket, "ben");
  const attachment = { holdMs: 5_000, signal: new AbortController().signal };
  expect(await world.home.gate.wait(ticket, only("read"), attachment)).toMatchObject({ status: "done" });
});
