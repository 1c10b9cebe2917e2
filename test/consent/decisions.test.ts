import { afterEach, expect, test } from "vitest";
import { createSshKeyPair } from "../../src/base/ssh-signing-key.ts";
import { SSHSIG_NAMESPACE, statementBytes } from "../../src/consent/statement.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { CALLER, callTool, decide, makeWorld, sign, ticketOf, type World } from "../support/world.ts";

let world: World;
const start = async (options: Parameters<typeof makeWorld>[0] = {}): Promise<World> =>
  (world = await makeWorld(options));
afterEach(() => world.close());

const hold = async (book: "ledger" | "safe" = "ledger", text = "x"): Promise<string> =>
  ticketOf(await callTool(world.home, "write_note", { book, text }));
const refusedAs = (code: string) => ({ ok: false, error: { code } });
const noWait = { signal: new AbortController().signal, holdMs: 0 };

test("the principal, and an owner of the agent, may not decide; admins are people too (C1)", async () => {
  await start();
  const ticket = await hold();
  expect(await decide(world, world.home, ticket, "ana")).toMatchObject(refusedAs("self_approval"));
  // ben asks through eva's robot: neither ben nor eva may decide.
  const asBen = { ...CALLER, principal: { kind: "named", id: "ben" } as const, agent: "robot" };
  const other = ticketOf(
    await callTool(world.home, "write_note", { book: "safe", text: "y" }, { caller: asBen }),
  );
  expect(await decide(world, world.home, other, "eva")).toMatchObject(refusedAs("self_approval"));
  expect(await decide(world, world.home, other, "ben")).toMatchObject(refusedAs("self_approval"));
  expect(world.notes.runs).toEqual([]);
  // The attempt stands in the log where a person would look for it, once.
  await decide(world, world.home, ticket, "ana");
  const recorded = (await world.home.requests.history(ticket as never)).filter(
    (entry) => entry.kind === "decision.recorded",
  );
  expect(recorded.map((entry) => [entry.data.person, entry.data.counted, entry.data.why_not])).toEqual([
    ["ana", false, "self_approval"],
  ]);
});

test("somebody outside the groups is not eligible; a stranger's key is nobody (C2)", async () => {
  await start();
  const ticket = await hold();
  expect(await decide(world, world.home, ticket, "dee")).toMatchObject(refusedAs("not_eligible"));
  const { request } = world.home.desk.find(ticket);
  const statement = await world.home.desk.draft(request, {
    decision: "approve",
    person: "ben",
    reason: null,
    log: null,
  });
  const stranger = createSshKeyPair("stranger").sign(statementBytes(statement), SSHSIG_NAMESPACE);
  const proof = { kind: "sshsig", signature: stranger, fingerprint: "", channel: "api" } as const;
  expect(await world.home.desk.decide(statement, proof)).toMatchObject(refusedAs("unknown_signer"));
});

test("a quorum counts distinct people, never one person twice (C2)", async () => {
  await start();
  const ticket = await hold("safe");
  expect(await decide(world, world.home, ticket, "ben")).toMatchObject({
    ok: true,
    value: { state: "recorded" },
  });
  expect(await decide(world, world.home, ticket, "ben")).toMatchObject(refusedAs("duplicate"));
  expect(await decide(world, world.home, ticket, "dee")).toMatchObject({
    ok: true,
    value: { state: "granted" },
  });
});

test("of many deciders at once exactly one settles it, and it runs once (G2, G3)", async () => {
  await start();
  const ticket = await hold();
  const second = await world.open();
  const answers = await Promise.all(
    ["ben", "chi", "ben", "chi", "ben", "chi"].map((person, i) =>
      decide(world, i % 2 === 0 ? world.home : second, ticket, person).catch((error: unknown) => error),
    ),
  );
  const granted = answers.filter(
    (answer) => (answer as { value?: { state?: string } }).value?.state === "granted",
  );
  expect(granted).toHaveLength(1);
  expect(await world.home.gate.wait(ticket, CALLER, { ...noWait, holdMs: 5_000 })).toMatchObject({
    status: "done",
  });
  expect(world.notes.runs).toEqual(["ledger"]);
});

test("the first eligible deny settles, with the person's words (C3)", async () => {
  await start();
  const ticket = await hold("safe");
  await decide(world, world.home, ticket, "ben");
  const denied = await decide(world, world.home, ticket, "dee", "deny", { reason: "not on a Friday" });
  expect(denied).toMatchObject({ ok: true, value: { state: "denied" } });
  expect(await world.home.gate.wait(ticket, CALLER, noWait)).toMatchObject({
    status: "refused",
    code: "denied_by_person",
    class: "denied_final",
    reason: "not on a Friday",
  });
  expect(await decide(world, world.home, ticket, "chi").catch((e: { code: string }) => e.code)).toBe(
    "REQUEST_NOT_FOUND",
  );
  // Cool-off: the same call is answered by the denial and is not asked again.
  expect(await callTool(world.home, "write_note", { book: "safe", text: "x" })).toMatchObject({
    status: "refused",
    code: "denied_by_person",
  });
});

test("a decision below the required assurance is recorded and not counted (C3)", async () => {
  // chi has a key that an admin enrolled as one that verifies its user; here it signs as a software key would.
  await start({
    userVerified: ["chi"],
    rules: `rules:
  - { id: strong, match: { tool: write_note }, verdict: hold, approve: { by: [sre], assurance: A3 } }
`,
  });
  const ticket = await hold();
  expect(await decide(world, world.home, ticket, "chi")).toMatchObject({
    ok: true,
    value: { state: "not_counted", code: "assurance_too_low" },
  });
  expect(world.notes.runs).toEqual([]);
  // Deny needs less.
  expect(await decide(world, world.home, ticket, "ben", "deny")).toMatchObject({
    ok: true,
    value: { state: "denied" },
  });
});

test("a view that is not complete can only be denied (C4)", async () => {
  await start();
  const ticket = await hold("ledger", "INCOMPLETE");
  expect(await decide(world, world.home, ticket, "ben")).toMatchObject(refusedAs("partial_view"));
  expect(await decide(world, world.home, ticket, "ben", "deny")).toMatchObject({ ok: true });
});

test("no answer in time is a deny, and a late approval changes nothing (C5)", async () => {
  const clock = createFakeClock();
  await start({ clock });
  const ticket = await hold();
  clock.advance(30 * 60_000);
  expect(await decide(world, world.home, ticket, "ben")).toMatchObject(refusedAs("expired"));
  expect(await world.home.gate.wait(ticket, CALLER, noWait)).toMatchObject({
    status: "refused",
    code: "expired",
    class: "expired",
  });
  expect(world.notes.runs).toEqual([]);
  // Expired frees the action at once: asking again is a new request.
  expect(await hold()).not.toBe(ticket);
});

test("an approval taken back is dead, also for the same statement again (C3)", async () => {
  await start();
  const ticket = await hold("safe");
  const { request } = world.home.desk.find(ticket);
  const statement = await world.home.desk.draft(request, {
    decision: "approve",
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
  await world.home.desk.decide(statement, proof);
  expect(await decide(world, world.home, ticket, "ben", "take_back")).toMatchObject({
    ok: true,
    value: { state: "taken_back" },
  });
  expect(await world.home.desk.decide(statement, proof)).toMatchObject(refusedAs("taken_back"));
  await world.home.close();
  world.home = await world.open();
  expect(await world.home.desk.decide(statement, proof)).toMatchObject(refusedAs("taken_back"));
  expect(await decide(world, world.home, ticket, "dee")).toMatchObject({
    ok: true,
    value: { state: "recorded" },
  });
  expect(world.notes.runs).toEqual([]);
  // A new approval of the same person is a new statement.
  expect(await decide(world, world.home, ticket, "ben", "approve", { reason: "looked again" })).toMatchObject(
    { ok: true, value: { state: "granted" } },
  );
});

test("a statement is bound to its question, its person and its summary (D1, D3)", async () => {
  await start();
  const one = await hold("ledger", "one");
  const two = await hold("ledger", "two");
  const other = world.home.desk.find(two);
  expect(await decide(world, world.home, one, "ben", "approve", { approver: "chi" })).toMatchObject(
    refusedAs("wrong_person"),
  );
  expect(await decide(world, world.home, one, "ben", "approve", { summary: "harmless" })).toMatchObject(
    refusedAs("summary_mismatch"),
  );
  // A signature over the statement for `one` says nothing about `two`.
  const { request } = world.home.desk.find(one);
  const statement = await world.home.desk.draft(request, {
    decision: "approve",
    person: "ben",
    reason: null,
    log: null,
  });
  const signature = sign(world, "ben", statement);
  const swapped = { ...statement, question: other.digest };
  await expect(
    world.home.desk.decide(swapped, { kind: "sshsig", signature, fingerprint: "", channel: "api" }),
  ).rejects.toMatchObject({ code: "SIGNATURE_INVALID" });
  expect(world.notes.runs).toEqual([]);
});

test("replaying a statement counts once", async () => {
  await start();
  const ticket = await hold("safe");
  const { request } = world.home.desk.find(ticket);
  const statement = await world.home.desk.draft(request, {
    decision: "approve",
    person: "ben",
    reason: null,
    log: null,
  });
  const proof = {
    kind: "sshsig",
    signature: sign(world, "ben", statement),
    fingerprint: "",
    channel: "api",
  } as const;
  expect(await world.home.desk.decide(statement, proof)).toMatchObject({ ok: true });
  expect(await world.home.desk.decide(statement, proof)).toMatchObject(refusedAs("duplicate"));
});

test("the person of solo: may approve their own agent where one person is asked, and it says so (C6)", async () => {
  await start({ head: "solo: ana\npolicy_change: { by: [sre], quorum: 1, assurance: A2 }" });
  const ticket = await hold();
  expect(await decide(world, world.home, ticket, "ana", "approve", { solo: false })).toMatchObject(
    refusedAs("not_solo"),
  );
  expect(await decide(world, world.home, ticket, "ana")).toMatchObject({
    ok: true,
    value: { state: "granted", solo: true },
  });
  const history = await world.home.requests.history(ticket as never);
  expect(history.find((entry) => entry.kind === "consent.settled")?.data).toMatchObject({ solo: true });
  // Where two are asked, solo is nothing.
  const safe = await hold("safe");
  expect(await decide(world, world.home, safe, "ana")).toMatchObject(refusedAs("self_approval"));
});

test("a solo approval over the API takes a key that verifies its user: nobody saw a passphrase asked (C6)", async () => {
  await start({ head: "solo: ana\npolicy_change: { by: [sre], quorum: 1, assurance: A2 }" });
  const { request } = world.home.desk.find(await hold());
  const hand = async (decision: "approve" | "deny") => {
    const statement = await world.home.desk.draft(request, {
      decision,
      person: "ana",
      reason: null,
      log: null,
    });
    const signature = sign(world, "ana", statement);
    return world.home.desk.decide(statement, { kind: "sshsig", signature, fingerprint: "", channel: "api" });
  };
  expect(await hand("approve")).toMatchObject({
    ok: true,
    value: { state: "not_counted", code: "assurance_too_low" },
  });
  expect(await hand("deny")).toMatchObject({ ok: true, value: { state: "denied" } });
});

test("a hold that nobody could answer is denied at once (C7)", async () => {
  // eva's robot asks for dee: both of `security` are involved, and one of them would have to approve.
  await start({
    rules: `rules:
  - { id: guards, match: { tool: write_note }, verdict: hold, approve: { by: [security], quorum: 1, assurance: A2 } }
`,
  });
  const asDee = { ...CALLER, principal: { kind: "named", id: "dee" } as const, agent: "robot" };
  expect(
    await callTool(world.home, "write_note", { book: "ledger", text: "x" }, { caller: asDee }),
  ).toMatchObject({ status: "refused", code: "no_eligible_approver", class: "denied_final" });
});
