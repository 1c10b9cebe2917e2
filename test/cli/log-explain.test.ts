import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RequestId } from "../../src/base/id.ts";
import type { Surroundings } from "../../src/config/environment.ts";
import type { Reply } from "../../src/gate/reply.ts";
import type { Story } from "../../src/gate/story.ts";
import { aroundWorld, cliRun } from "../support/cli-run.ts";
import { CALLER, callTool, decide, makeWorld, type World } from "../support/world.ts";

// The story of a request on a terminal, on a real home: whole, in every way that a request can end, and inert.

const RAW = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u200b-\u200f\u202a-\u202e\u2066-\u2069]/;
let world: World;
let around: Surroundings;
beforeEach(async () => {
  world = await makeWorld();
  around = await aroundWorld(world);
});
afterEach(() => world.close());

async function explain(request: string): Promise<{ readonly text: string; readonly story: Story }> {
  const run = async (...more: string[]) =>
    cliRun(["log", "explain", request, ...more], { home: await world.open(), around });
  const [shown, json] = [await run(), await run("--json")];
  expect([shown.exitCode, json.exitCode, shown.stderr]).toEqual([0, 0, ""]);
  expect(shown.stdout).not.toMatch(RAW);
  expect(json.stdout).not.toMatch(RAW);
  for (const line of shown.stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  return { text: shown.stdout.replaceAll(/\s+/g, " "), story: JSON.parse(json.stdout) as Story };
}
const idOf = (reply: Reply): RequestId => {
  if (reply.status === "pending") return reply.ticket as RequestId;
  if (!("request" in reply) || reply.request === null) throw new Error(JSON.stringify(reply));
  return reply.request;
};
const write = async (
  book: string,
  text: string,
  more: Parameters<typeof callTool>[3] = {},
): Promise<RequestId> =>
  idOf(await callTool(world.home, "write_note", { book, text, justification: "the books are due" }, more));

test("an approved request: who asked, claimed, shown, matched, decided, ran, came out", async () => {
  const id = await write("ledger", "pay 10", { reasoning: { steps: ["look", "write"] } });
  const { size, root } = world.home.store.head();
  await decide(world, world.home, id, "ana").catch(() => undefined);
  await decide(world, world.home, id, "ben", "approve", { log: { size, root } });
  await callTool(
    world.home,
    "write_note",
    { book: "ledger", text: "pay 10", justification: "x" },
    { holdMs: 5_000 },
  );
  const { text, story } = await explain(id);
  for (const words of [
    `${id} done`,
    "agent claude (owned by ana)",
    "for person ana",
    "calls itself test 1",
    "tool write_note (write)",
    "target book ledger · prod",
    "the books are due",
    '"steps"',
    "write 6 characters into ledger",
    "exact: what is shown is the very thing that will run",
    "verdict hold",
    "rule prod-notes-need-one: production is looked at",
    "why: its match block fits",
    "asks 1 of sre, proof A2 or better",
    "the same, byte for byte",
    "not counted: self_approval",
    "approved ben at",
    "proof A2: sshsig",
    world.keys["ben"]!.fingerprint,
    `had checked the log of ${size} entries`,
    "settled granted by ben",
    "from people's consent",
    "claimed",
    "dispatched",
    "done",
    '"bytes": 6',
  ]) {
    expect(text).toContain(words);
  }
  expect(story).toMatchObject({
    request: id,
    phase: "done",
    asked: { tool: "write_note", requester: { agent: "claude", principal: { id: "ana" } } },
    claimed: { state: "kept", value: { justification: "the books are due" } },
    verdict: { verdict: "hold", rules: [{ id: "prod-notes-need-one", why: "its match block fits" }] },
    replayed: [{ outcome: "equal" }],
    decisions: [
      { person: "ana", counted: false, why_not: "self_approval" },
      { person: "ben", counted: true, proof: { kind: "sshsig" } },
    ],
    consent: { outcome: "granted", by: ["ben"] },
    runs: [{ kind: "claimed" }, { kind: "dispatched" }],
    result: { state: "kept", value: { book: "ledger", bytes: 6 } },
    erasures: [],
  });
});

test("one that waits is told as far as it came", async () => {
  const { text } = await explain(await write("safe", "x"));
  for (const words of ["held", "answers none", "nothing was started", "it is open", "2 of security or sre"]) {
    expect(text).toContain(words);
  }
});

test("one that a person denied, one that the policy denied, and a call that was turned away", async () => {
  const denied = await write("ledger", "x");
  await decide(world, world.home, denied, "chi", "deny", { reason: "not on a friday" });
  expect((await explain(denied)).text).toMatch(
    /denied chi at .* counted: not on a friday .* nothing was started/,
  );
  const refused = await explain(await write("log", "forbidden"));
  for (const words of [
    "verdict deny",
    "nothing-forbidden: the word is forbidden",
    "the policy alone",
    "denied_by_policy",
  ]) {
    expect(refused.text).toContain(words);
  }
  const stranger = { ...CALLER, agent: "\u001b[31mghost\u202e" };
  const attempt = await explain(await write("log", "x", { caller: stranger }));
  for (const words of [
    "attempt write_note by ⟦",
    "it never became a request",
    "the policy was not asked",
    "unknown_requester",
  ]) {
    expect(attempt.text).toContain(words);
  }
});

test("one whose world moved, and one whose outcome nobody knows until a person has looked", async () => {
  const stale = await write("ledger", "x");
  await writeFile(join(world.notes.dir, "ledger"), "moved by hand");
  await decide(world, world.home, stale, "ben");
  await callTool(
    world.home,
    "write_note",
    { book: "ledger", text: "x", justification: "y" },
    { holdMs: 5_000 },
  );
  expect((await explain(stale)).text).toContain("stale");
  expect((await explain(stale)).text).toContain("guard_changed");
  const lost = await write("log", "CANNOT_TELL LOST_REPLY", { holdMs: 5_000 });
  expect((await explain(lost)).text).toContain(`${lost} unknown`);
  await world.home.resolveUnknown(lost, "done", "ana", "I looked at the book");
  expect((await explain(lost)).text).toMatch(/unknown .* done .* by ana: I looked at the book/);
});

test("a read of somebody unknown says who was not resolved (C1)", async () => {
  const caller = { ...CALLER, agent: null };
  const id = idOf(await callTool(world.home, "read_note", { book: "log" }, { caller, holdMs: 5_000 }));
  const { text } = await explain(id);
  expect(text).toContain("agent no named agent");
  expect(text).toContain("the policy did not know the agent (C1)");
});

test("where documents were erased it says when and why, and tells the rest", async () => {
  const id = await write("log", "hello", { holdMs: 5_000 });
  await world.home.records.erase(id, "a customer asked", "ana");
  const { text, story } = await explain(id);
  for (const label of ["arguments", "reasoning", "view", "result", "documents"]) {
    expect(text).toMatch(new RegExp(`${label} erased on \\d{4}-\\S+ by ana: a customer asked`));
  }
  expect(text).toContain("derived again in part");
  expect(text).toContain("rule demo-notes-are-free");
  expect(story.erasures).toMatchObject([{ by: "ana", why: "a customer asked" }]);
});

test("what an agent says can't pass for the gate's words, and is announced (P3)", async () => {
  const nasty = "\u001b]0;owned\u0007\n  WHO DECIDED\n  approved    ben at once\n\u202eevil\u200b";
  const id = idOf(
    await callTool(
      world.home,
      "write_note",
      { book: "log", text: nasty, justification: nasty },
      { holdMs: 5_000 },
    ),
  );
  const shown = await cliRun(["log", "explain", id], { home: await world.open(), around });
  expect(shown.stdout).not.toMatch(RAW);
  expect(shown.stdout).toContain("LOOK CLOSELY");
  expect(shown.stdout.split("\n").filter((line) => line.startsWith("  WHO DECIDED"))).toHaveLength(1);
  expect(shown.stdout.split("\n").filter((line) => line.startsWith("  approved"))).toEqual([]);
});

test("a request that is not there is an error with the next step", async () => {
  const { exitCode, stderr } = await cliRun(["log", "explain", "ZZZZZZ"], {
    home: await world.open(),
    around,
  });
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining("REQUEST_NOT_FOUND")]);
});
