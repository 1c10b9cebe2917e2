import { afterEach, expect, test } from "vitest";
import type { Entry } from "../../src/log/entry.ts";
import { CALLER, callTool, decide, makeWorld, sign, ticketOf, type World } from "../support/world.ts";

// Does an agent know what it may do about a deny, and does the gateway hold it to that?

let world: World;
afterEach(() => world.close());
const noWait = { signal: new AbortController().signal, holdMs: 0 };
const call = () => callTool(world.home, "write_note", { book: "ledger", text: "x" });

test("a fixable deny carries the person's words, frees the action at once, and starts a new request", async () => {
  world = await makeWorld();
  const ticket = ticketOf(await call());
  await decide(world, world.home, ticket, "ben", "deny", {
    fixable: true,
    reason: "without the second line",
  });
  expect(await world.home.gate.wait(ticket, CALLER, noWait)).toMatchObject({
    status: "refused",
    code: "correction_wanted",
    class: "denied_fixable",
    deniedBy: "person",
    reason: "without the second line",
    retryAfterMs: null,
  });
  const again = await call();
  expect(ticketOf(again)).not.toBe(ticket);
  const settled = (await world.home.requests.history(ticket as never)).at(-1) as Entry<"consent.settled">;
  expect(settled.data).toMatchObject({ outcome: "denied", fixable: true });
});

test("a final deny answers the same call until its cool-off is over", async () => {
  world = await makeWorld();
  const ticket = ticketOf(await call());
  await decide(world, world.home, ticket, "ben", "deny", { reason: "no" });
  expect(await call()).toMatchObject({
    status: "refused",
    request: ticket,
    class: "denied_final",
    reason: "no",
  });
});

test("only a deny can be fixable, and the word stands under the signature", async () => {
  world = await makeWorld();
  const ticket = ticketOf(await call());
  const draft = (decision: "approve" | "deny") =>
    world.home.desk.draft(ticket as never, {
      decision,
      person: "ben",
      reason: null,
      log: null,
      fixable: true,
    });
  expect(await draft("deny")).toMatchObject({ fixable: true });
  expect(await draft("approve")).not.toHaveProperty("fixable");
  // Signed as final, handed in as fixable.
  const statement = await world.home.desk.draft(ticket as never, {
    decision: "deny",
    person: "ben",
    reason: null,
    log: null,
  });
  const proof = {
    kind: "sshsig",
    signature: sign(world, "ben", statement),
    fingerprint: "",
    channel: "cli",
  } as const;
  await expect(world.home.desk.decide({ ...statement, fixable: true }, proof)).rejects.toMatchObject({
    code: "SIGNATURE_INVALID",
  });
});

test("taking an approval back shows to the agent and to people; withdrawing ends the question for both (C3)", async () => {
  world = await makeWorld();
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "safe", text: "x" }));
  await decide(world, world.home, ticket, "ben");
  const told: string[] = [];
  const held = world.home.gate.wait(ticket, CALLER, {
    ...noWait,
    holdMs: 30_000,
    progress: (message) => void told.push(message),
  });
  await decide(world, world.home, ticket, "ben", "take_back");
  const open = await world.home.desk.open(ticket as never);
  expect(open.decisions.map(({ decision, takenBack }) => [decision, takenBack])).toEqual([
    ["approve", true],
    ["take_back", false],
  ]);
  expect(open).toMatchObject({ phase: "held", settled: null, quorum: { clauses: [{ by: [], missing: 2 }] } });
  await world.home.gate.withdraw(ticket, CALLER, "not needed");
  expect(await held).toMatchObject({ status: "refused", code: "withdrawn" });
  expect(told).toEqual([
    "waiting for people: 1 of 2 approvals",
    "waiting for people: 0 of 2 approvals; an approval was taken back",
  ]);
  await expect(world.home.desk.open(ticket as never)).rejects.toMatchObject({
    code: "REQUEST_NOT_FOUND",
    message: expect.stringContaining("withdrawn") as string,
  });
});
