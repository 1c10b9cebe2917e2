import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { callTool, decide, makeWorld, ticketOf, type World, type WorldOptions } from "../support/world.ts";

let world: World;
const start = async (options: WorldOptions = {}): Promise<World> => (world = await makeWorld(options));
afterEach(() => world.close());

const book = (name: string): Promise<string> => readFile(join(world.notes.dir, name), "utf8").catch(() => "");

test("an allowed write takes the full path and runs once (G1, G2, X1)", async () => {
  const { home, notes } = await start();
  const reply = await callTool(home, "write_note", { book: "log", text: "hello" }, { holdMs: 5_000 });
  expect(reply).toMatchObject({ status: "done", output: { book: "log", bytes: 5 } });
  expect(await book("log")).toBe("hello");
  expect(notes.runs).toEqual(["log"]);
  const kinds = (await home.requests.history(home.requests.list(1)[0]!.id)).map((entry) => entry.kind);
  expect(kinds).toEqual([
    "request.received",
    "request.planned",
    "grant.minted",
    "execution.claimed",
    "execution.dispatched",
    "execution.settled",
  ]);
});

test("a held call changes nothing until a person approves, then exactly the plan is there, once (G1, D2)", async () => {
  const { home, notes } = await start();
  const held = await callTool(home, "write_note", {
    book: "ledger",
    text: "pay 10",
    justification: "asked to",
  });
  const ticket = ticketOf(held);
  expect(await book("ledger")).toBe("");
  const waiting = home.gate.wait(
    ticket,
    { principal: { kind: "named", id: "ana" }, agent: "claude", transport: "stdio", client: null },
    { signal: new AbortController().signal, holdMs: 10_000 },
  );
  expect(await decide(world, home, ticket, "ben")).toMatchObject({ ok: true, value: { state: "granted" } });
  expect(await waiting).toMatchObject({ status: "done" });
  expect(await book("ledger")).toBe("pay 10");
  expect(notes.runs).toEqual(["ledger"]);
});

test("an allowed read answers without a preview", async () => {
  const { home } = await start();
  await callTool(home, "write_note", { book: "log", text: "hello" }, { holdMs: 5_000 });
  expect(await callTool(home, "read_note", { book: "log" }, { holdMs: 5_000 })).toMatchObject({
    status: "done",
    output: { text: "hello" },
  });
});

test("a rule about the preview is asked although nothing else speaks about the call (design §3)", async () => {
  const { home } = await start({
    defaults: "",
    rules: `rules:
  - { id: short, match: { tool: write_note }, when: preview.counts.characters < 10, verdict: hold, approve: { by: [sre], assurance: A2, within: 5m } }
`,
  });
  ticketOf(await callTool(home, "write_note", { book: "ledger", text: "short" }));
  expect(await callTool(home, "write_note", { book: "ledger", text: "far too long a text" })).toMatchObject({
    status: "refused",
    code: "denied_by_policy",
  });
});

test("a deny rule ends the call before anything is previewed", async () => {
  const { home, notes } = await start();
  expect(await callTool(home, "write_note", { book: "log", text: "forbidden" })).toMatchObject({
    status: "refused",
    code: "denied_by_policy",
    class: "denied_final",
    because: ["the word is forbidden"],
  });
  expect(notes.runs).toEqual([]);
});
