import { afterEach, expect, test } from "vitest";
import type { Attachment, Reply } from "../../src/gate/reply.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import type { Tool } from "../../src/tool.ts";
import { writeNote } from "../support/note-tools.ts";
import { BOOKS, CALLER, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// A caller that takes a handle and polls. Does it wait where it should not, get a handle where an answer was due, run
// something while nobody is there, or lose what an attached caller would have got?

let world: World;
afterEach(() => world.close());

const WHEN_ATTACHED = `rules:
  - id: with-its-caller
    match: { tool: write_note }
    verdict: hold
    approve: { by: [sre], execute: when_attached }
  - id: reads-are-free
    match: { tool: read_note }
    verdict: allow
`;
const stays = new AbortController().signal;
const handle: Attachment = { signal: stays, holdMs: 60_000, handleAfterMs: 500, lingerMs: 60_000 };
const call = (tool: string, args: object, attachment: Attachment = handle): Promise<Reply> =>
  world.home.gate.call({ tool, arguments: args, caller: CALLER }, attachment);
const look = (ticket: string, lingerMs?: number): Promise<Reply> =>
  world.home.gate.wait(ticket, CALLER, {
    signal: stays,
    holdMs: 0,
    ...(lingerMs === undefined ? {} : { lingerMs }),
  });
const note = (text: string): object => ({ book: "ledger", text });
const approve = async (ticket: string): Promise<void> => {
  expect(await decide(world, world.home, ticket, "ben")).toMatchObject({ ok: true });
};
const idle = async (): Promise<void> => {
  await new Promise((resolve) => setImmediate(resolve));
};
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error("did not happen within 20 s");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("what people are asked about is handed over at once, and durable by then (L1)", async () => {
  world = await makeWorld();
  const reply = await call("write_note", note("x"));
  const ticket = ticketOf(reply);
  const other = await world.open();
  expect(await other.gate.wait(ticket, CALLER, { signal: stays, holdMs: 0 })).toMatchObject({
    status: "pending",
  });
});

test("a change that is allowed and done soon is answered; one that takes longer becomes a handle and runs once", async () => {
  world = await makeWorld();
  const soon = await call("write_note", { book: "log", text: "x" }, { ...handle, handleAfterMs: 20_000 });
  expect(soon).toMatchObject({ status: "done" });
  let release: (() => void) | undefined;
  world.notes.before = () => new Promise((resolve) => (release = resolve));
  const ticket = ticketOf(
    await call("write_note", { book: "log", text: "y" }, { ...handle, handleAfterMs: 0 }),
  );
  expect(await look(ticket)).toMatchObject({ status: "pending", waitingFor: "approved; running" });
  await until(() => release !== undefined);
  release?.();
  await until(async () => (await look(ticket)).status === "done");
  expect(world.notes.runs).toEqual(["log", "log"]);
});

test("a read is stayed with, however long a change may take", async () => {
  world = await makeWorld();
  const reply = await call("read_note", { book: "log" }, { ...handle, handleAfterMs: 0 });
  expect(reply).toMatchObject({ status: "done", output: { text: "" } });
  // A client that asked for a task finds even this one by its id.
  expect(await look(String(reply.status === "done" && reply.request))).toMatchObject({
    status: "done",
    output: { text: "" },
  });
});

test("who looked a moment ago counts as attached: what was granted runs without another look", async () => {
  world = await makeWorld({ rules: WHEN_ATTACHED });
  const ticket = ticketOf(await call("write_note", note("x"), { ...handle, lingerMs: 1 }));
  await look(ticket, 60_000);
  await approve(ticket);
  await until(() => world.notes.runs.length === 1);
  await until(async () => (await look(ticket)).status === "done");
  expect(world.notes.runs).toEqual(["ledger"]);
});

test("who has not looked for a while does not, and nothing runs until they come back", async () => {
  world = await makeWorld({ rules: WHEN_ATTACHED });
  const ticket = ticketOf(await call("write_note", note("x"), { ...handle, lingerMs: 1 }));
  await look(ticket, 1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  await approve(ticket);
  await idle();
  expect(world.home.fold.state.requests.open.get(ticket as never)?.phase).toBe("granted");
  expect(world.notes.runs).toEqual([]);
  await look(ticket, 1);
  await until(() => world.notes.runs.length === 1);
  await until(async () => (await look(ticket)).status === "done");
  expect(world.notes.runs).toEqual(["ledger"]);
});

test("every look counts anew, and one that was given up lets nothing run", async () => {
  world = await makeWorld({ rules: WHEN_ATTACHED });
  const ticket = ticketOf(await call("write_note", note("x")));
  for (const _ of [1, 2, 3]) await look(ticket, 60_000);
  await world.home.gate.withdraw(ticket, CALLER, null);
  expect(await look(ticket, 60_000)).toMatchObject({ status: "refused", code: "withdrawn" });
  expect(world.notes.runs).toEqual([]);
});

test("someone else's look is no look (R1)", async () => {
  world = await makeWorld({ rules: WHEN_ATTACHED });
  const ticket = ticketOf(await call("write_note", note("x"), { signal: stays, holdMs: 0 }));
  const other = { ...CALLER, agent: "robot" };
  expect(
    await world.home.gate.wait(ticket, other, { signal: stays, holdMs: 0, lingerMs: 60_000 }),
  ).toMatchObject({ status: "refused", code: "unknown_ticket" });
  await approve(ticket);
  await idle();
  expect(world.notes.runs).toEqual([]);
});

test("a caller that was told nothing hears at once of a question that was there before it came", async () => {
  world = await makeWorld();
  const ticket = ticketOf(await call("write_note", note("x")));
  const proof = { kind: "account", account: "ben@test", channel: "cli" } as const;
  await world.home.desk.inquire(ticket as never, { person: "ben", text: "why now?", proof });
  const reply = await world.home.gate.wait(ticket, CALLER, {
    signal: stays,
    holdMs: 60_000,
    toldNothing: true,
  });
  expect(reply).toMatchObject({ status: "pending", inquiries: [{ text: "why now?" }] });
});

test("what a mask hides is handed over unmasked once, to who comes for the result; looking takes nothing", async () => {
  world = await makeWorld();
  const token = `ghp_${"a1B2".repeat(9)}`;
  const note = writeNote(world.notes, BOOKS);
  const telling = {
    ...note,
    execute: async () => ({ output: { book: token, bytes: 1 } }),
  } as unknown as Tool;
  const home = await world.open({ tools: [telling] });
  const attachment = { signal: stays, holdMs: 20_000, lingerMs: 60_000 };
  const wait = (request: string, peeks: boolean): Promise<Reply> =>
    home.gate.wait(request, CALLER, { ...attachment, ...(peeks ? { peeks } : {}) });
  const args = { book: "log", text: "x" };
  const reply = await home.gate.call(
    { tool: "write_note", arguments: args, caller: CALLER },
    { ...attachment, peeks: true },
  );
  const request = String(reply.status === "done" && reply.request);
  for (const _ of [1, 2])
    expect(await wait(request, true)).toMatchObject({ status: "done", output: { book: token } });
  expect(await wait(request, false)).toMatchObject({ output: { book: token } });
  const masked = await wait(request, false);
  expect(masked).toMatchObject({ status: "done" });
  expect(JSON.stringify(masked)).not.toContain(token);
});

test("when a request last moved is known while it is open, after it ended and after a restart", async () => {
  const clock = createFakeClock();
  world = await makeWorld({ clock });
  const ticket = ticketOf(await call("write_note", note("x")));
  const asked = await world.home.gate.movedAt(ticket);
  expect(asked).toMatch(/^\d{4}-/);
  clock.advance(5_000);
  await world.home.gate.withdraw(ticket, CALLER, null);
  const ended = await world.home.gate.movedAt(ticket);
  expect(Date.parse(String(ended)) - Date.parse(String(asked))).toBe(5_000);
  const other = await world.open();
  expect(await other.gate.movedAt(ticket)).toBe(ended);
  expect(await other.gate.movedAt("req_01ARZ3NDEKTSV4RRFFQ69G5FAV")).toBeNull();
  expect(await other.gate.movedAt("nonsense")).toBeNull();
});
