import { writeFile } from "node:fs/promises";
import { afterEach, expect, test } from "vitest";
import type { OpenedHome } from "../../src/compose.ts";
import { createDeadlines } from "../../src/gate/deadlines.ts";
import { createNudge } from "../../src/gate/nudge.ts";
import type { RegimeHolder } from "../../src/gate/regime.ts";
import type { Entry, EntryKind } from "../../src/log/entry.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../src/policy/adoption-statement.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { createFakeClock, type FakeClock } from "../support/fake-clock.ts";
import { CALLER, callTool, decide, makeWorld, policyText, ticketOf, type World } from "../support/world.ts";

// Does a question that nobody answers find somebody who may, without anything turning into an approval by waiting?

const MINUTE = 60_000;
const RULES = (approve: string, more = ""): string => `rules:
  - id: asks-on
    match: { tool: write_note }
    verdict: hold
    approve: { ${approve} }
${more}`;
const STEPS = "by: [sre], within: 30m, remind: 4m, escalate: [{ after: 10m, to: [security] }]";

let clock: FakeClock;
let world: World;
let steward: Awaited<ReturnType<typeof ticks>>;
afterEach(() => world.close());

/** A second handle whose steward does its round when the test says so. */
async function ticks(): Promise<{ readonly home: OpenedHome; readonly round: () => Promise<void> }> {
  const home = await world.open();
  expect(await home.startSteward()).toBe(true);
  // A round that had begun before the clock moved may have passed what is looked at here.
  const round = async (): Promise<void> => {
    await home.stewardRound();
    await home.stewardRound();
  };
  return { home, round };
}

async function start(options: Parameters<typeof makeWorld>[0]): Promise<void> {
  clock = createFakeClock();
  world = await makeWorld({ clock, ...options });
  steward = await ticks();
}

/** What another process that took over would do in the same moment. */
function nudgeOf(home: OpenedHome): () => Promise<void> {
  const { store, log } = home;
  const regime = { current: () => ({ policy: home.adoption.current() }) } as unknown as RegimeHolder;
  return createNudge({
    clock,
    store,
    log,
    regime,
    state: home.fold.state,
    deadlines: createDeadlines(clock),
  });
}

const hold = async (text = "x"): Promise<string> =>
  ticketOf(await callTool(world.home, "write_note", { book: "ledger", text }));

async function after(ms: number): Promise<void> {
  clock.advance(ms);
  await steward.round();
  await world.home.store.catchUp();
}

async function entries<K extends EntryKind>(ticket: string, kind: K): Promise<Entry<K>[]> {
  await world.home.store.catchUp();
  const all = await world.home.requests.history(ticket as never);
  return all.filter((entry) => entry.kind === kind) as Entry<K>[];
}

async function faults(): Promise<readonly string[]> {
  const { store } = world.home;
  const report = await verifyLog(store.lines(0), {
    key: await keyOf(steward.home),
    checkpoint: await store.checkpoint(),
  });
  return report.findings
    .filter(({ severity }) => severity === "fault")
    .map(({ code, message }) => `${code}: ${message}`);
}
async function keyOf(home: OpenedHome): Promise<string> {
  for await (const { bytes } of home.store.lines(0)) {
    return (JSON.parse(Buffer.from(bytes).toString()) as Entry<"log.opened">).data.key;
  }
  throw new Error("the log is empty");
}

test("after its time a step lets others answer, once, and their decision counts from then on (C5)", async () => {
  await start({ rules: RULES(STEPS) });
  const ticket = await hold();
  expect(await decide(world, world.home, ticket, "dee")).toMatchObject({ error: { code: "not_eligible" } });
  expect((await world.home.desk.open(ticket as never)).escalations).toMatchObject([
    { to: ["security"], at: null },
  ]);
  await after(9 * MINUTE);
  expect(await entries(ticket, "consent.escalated")).toEqual([]);
  await after(MINUTE);
  await after(MINUTE);
  const [escalated, ...more] = await entries(ticket, "consent.escalated");
  expect(escalated?.data).toMatchObject({ steps: [{ clause: 0, step: 0 }], to: ["security"] });
  expect(more).toEqual([]);
  const open = await world.home.desk.open(ticket as never);
  expect(open.escalations[0]?.at).toBe(escalated?.time);
  expect([...(open.eligible[0] ?? [])].sort()).toEqual(["ben", "chi", "dee", "eva"]);
  // sre may still answer, and one is enough: nobody is asked for less, or for more.
  expect(await decide(world, world.home, ticket, "dee")).toMatchObject({
    ok: true,
    value: { state: "granted" },
  });
  const [decision] = (await entries(ticket, "decision.recorded")).filter(({ data }) => data.counted);
  expect(decision?.data.clauses).toEqual([0]);
  expect(await faults()).toEqual([]);
});

test("a step waits for nobody where the clause is met, and none comes after the deadline (C5)", async () => {
  await start({
    rules: RULES(
      "by: [sre], quorum: 2, within: 12m, escalate: [{ after: 5m, to: [security] }, { after: 20m, to: [sre] }]",
    ),
  });
  const ticket = await hold();
  await decide(world, world.home, ticket, "ben");
  await after(13 * MINUTE);
  expect(await entries(ticket, "consent.escalated")).toEqual([]);
  expect(await entries(ticket, "request.expired")).toHaveLength(1);
  expect(await decide(world, world.home, ticket, "dee").catch((error: unknown) => error)).toMatchObject({
    code: "REQUEST_NOT_FOUND",
  });
});

test("setting the wall clock back holds no escalation up, and setting it forward brings one at once", async () => {
  await start({ rules: RULES(STEPS) });
  const ticket = await hold();
  await steward.round();
  clock.setWall(clock.now() - 3_000);
  await after(10 * MINUTE + 1);
  expect(await entries(ticket, "consent.escalated")).toHaveLength(1);
});

test("while the clock is behind the log nothing escalates: the entry would say a time before the step's (C5)", async () => {
  await start({ rules: RULES(STEPS) });
  const ticket = await hold();
  await steward.round();
  clock.setWall(clock.now() - 60 * MINUTE);
  await after(10 * MINUTE + 1);
  expect(await faults()).toEqual([]);
  expect(await entries(ticket, "consent.escalated")).toEqual([]);
  clock.setWall(clock.now() + 60 * MINUTE);
  // A jump is believed once the clock has held still.
  for (let i = 0; i < 3; i += 1) await after(10_000);
  expect(await entries(ticket, "consent.escalated")).toHaveLength(1);
  expect(await faults()).toEqual([]);
});

test("a restart and a second process repeat neither an escalation nor a reminder", async () => {
  await start({ rules: RULES(STEPS) });
  const ticket = await hold();
  await after(5 * MINUTE);
  await after(5 * MINUTE);
  const before = [await entries(ticket, "consent.escalated"), await entries(ticket, "consent.reminded")];
  await steward.home.store.writeSnapshot();
  await steward.home.close();
  steward = await ticks();
  await steward.round();
  expect([await entries(ticket, "consent.escalated"), await entries(ticket, "consent.reminded")]).toEqual(
    before,
  );
  // Both handles at once: one entry.
  clock.advance(4 * MINUTE);
  await world.home.store.catchUp();
  await Promise.all([nudgeOf(steward.home)(), nudgeOf(world.home)()]);
  expect(await entries(ticket, "consent.reminded")).toHaveLength((before[1]?.length ?? 0) + 1);
  expect(await faults()).toEqual([]);
});

test("reminders go to those who could answer and have not, until the deadline", async () => {
  await start({ rules: RULES("by: [sre], quorum: 2, within: 15m, remind: 4m") });
  const ticket = await hold();
  await after(4 * MINUTE);
  await decide(world, world.home, ticket, "ben");
  await after(4 * MINUTE);
  await after(3 * MINUTE);
  expect((await entries(ticket, "consent.reminded")).map(({ data }) => data.people)).toEqual([
    ["ben", "chi"],
    ["chi"],
  ]);
  expect((await world.home.desk.open(ticket as never)).reminders).toMatchObject({
    everyMs: 240_000,
    count: 2,
  });
  await after(5 * MINUTE);
  expect(await entries(ticket, "consent.reminded")).toHaveLength(2);
  expect(await entries(ticket, "request.expired")).toHaveLength(1);
});

test("a clause that only an escalation can meet is asked; one that comes too late is denied at once (C7)", async () => {
  await start({
    rules: RULES("by: [sre], quorum: 3, within: 30m, escalate: [{ after: 10m, to: [security] }]"),
  });
  expect(await callTool(world.home, "write_note", { book: "ledger", text: "x" })).toMatchObject({
    status: "pending",
  });
  await world.close();
  await start({
    rules: RULES("by: [sre], quorum: 3, within: 10m, escalate: [{ after: 10m, to: [security] }]"),
  });
  expect(await callTool(world.home, "write_note", { book: "ledger", text: "x" })).toMatchObject({
    status: "refused",
    code: "no_eligible_approver",
  });
});

// On call.

const HOUR = 60 * MINUTE;
const onCall = (people: string): string => {
  // Turns of an hour that began half an hour ago: the first person has the first half hour of the test.
  const starts = new Date(Math.floor((Date.now() - 30 * MINUTE) / 1_000) * 1_000)
    .toISOString()
    .replace(".000Z", "Z");
  return `duty: { on_call: { people: [${people}], every: 1h, starts: ${starts} } }`;
};
const withDuty = (duty: string, approve: string): string =>
  policyText(world.keys, { rules: RULES(approve) }).replace("groups: {", `groups: { ${duty},`);

async function startOnCall(approve: string, people = "ben, chi"): Promise<void> {
  await start({});
  await adopt(withDuty(onCall(people), approve));
}
async function adopt(text: string): Promise<void> {
  await writeFile(world.settings.policyFile, text.replace(/^policy_change.*$/m, "adopt: on_save"));
  const signed = await Promise.all(
    ["ben", "dee"].map(async (person) => {
      const statement = await world.home.adoption.draft(person);
      const signature = world.keys[person]?.sign(adoptionBytes(statement), ADOPTION_NAMESPACE) ?? "";
      return { statement, proof: { kind: "sshsig", signature, fingerprint: "", channel: "cli" } as const };
    }),
  );
  await world.home.adoption.adopt(signed);
}

test("who is on call decides; whose turn has passed keeps the decision and makes no other (C2)", async () => {
  await startOnCall("by: [duty, security], quorum: 2, within: 3h");
  const ticket = await hold();
  expect(await decide(world, world.home, ticket, "chi")).toMatchObject({ error: { code: "not_eligible" } });
  expect(await decide(world, world.home, ticket, "ben")).toMatchObject({
    ok: true,
    value: { state: "recorded" },
  });
  expect((await world.home.desk.open(ticket as never)).onCall).toMatchObject([
    { group: "duty", person: "ben" },
  ]);
  await after(HOUR);
  // ben's approval stands though it is chi's turn; it is a second person of security that is missing.
  expect((await world.home.desk.open(ticket as never)).quorum.clauses[0]?.by).toEqual(["ben"]);
  expect((await world.home.desk.open(ticket as never)).onCall).toMatchObject([
    { group: "duty", person: "chi" },
  ]);
  expect(await decide(world, world.home, ticket, "dee")).toMatchObject({
    ok: true,
    value: { state: "granted" },
  });
  expect(await faults()).toEqual([]);
});

test("somebody taken out of the rotation loses the decision; another order of turns takes nothing away (C2)", async () => {
  await startOnCall("by: [duty, security], quorum: 2, within: 3h", "ben, chi");
  const ticket = await hold();
  await decide(world, world.home, ticket, "ben");
  await adopt(withDuty(onCall("chi, ben"), "by: [duty, security], quorum: 2, within: 3h"));
  await world.home.store.catchUp();
  expect((await world.home.desk.open(ticket as never)).quorum.clauses[0]?.by).toEqual(["ben"]);
  await adopt(withDuty(onCall("chi"), "by: [duty, security], quorum: 2, within: 3h"));
  expect((await world.home.desk.open(ticket as never)).quorum.clauses[0]?.by).toEqual([]);
  expect(await faults()).toEqual([]);
});

test("where nobody who can be on call before the deadline may answer, it is denied at once (C7)", async () => {
  // ana asks, and has the turn now; ben's comes in half an hour.
  await startOnCall("by: [duty], within: 20m", "ana, ben");
  expect(await callTool(world.home, "write_note", { book: "ledger", text: "x" })).toMatchObject({
    status: "refused",
    code: "no_eligible_approver",
  });
  await world.close();
  await startOnCall("by: [duty], within: 40m", "ana, ben");
  expect(await callTool(world.home, "write_note", { book: "ledger", text: "x" })).toMatchObject({
    status: "pending",
  });
});

test("an agent that waits hears that more people are asked, and nothing of who they are (P4)", async () => {
  await start({ rules: RULES(STEPS) });
  const ticket = await hold();
  await after(10 * MINUTE);
  const told: string[] = [];
  const reply = await world.home.gate.wait(ticket, CALLER, {
    holdMs: 0,
    signal: new AbortController().signal,
    progress: (message) => void told.push(message),
  });
  expect(reply).toMatchObject({ waitingFor: "waiting for people: 0 of 1 approvals; more people are asked" });
  expect(JSON.stringify([reply, told])).not.toMatch(/dee|eva|security/);
});
