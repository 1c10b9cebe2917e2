import { readFile, rm, writeFile } from "node:fs/promises";
import { afterEach, expect, test } from "vitest";
import { timestamp } from "../../src/base/clock.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../src/policy/adoption-statement.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { CALLER, callTool, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

let world: World;
const start = async (options: Parameters<typeof makeWorld>[0] = {}): Promise<World> =>
  (world = await makeWorld(options));
afterEach(() => world.close());

const noWait = { signal: new AbortController().signal, holdMs: 0 };

const edit = async (change: (text: string) => string): Promise<void> => {
  await writeFile(world.settings.policyFile, change(await readFile(world.settings.policyFile, "utf8")));
};
const signed = async (person: string) => {
  const statement = await world.home.adoption.draft(person);
  const signature = world.keys[person]!.sign(adoptionBytes(statement), ADOPTION_NAMESPACE);
  return { statement, proof: { kind: "sshsig", signature, fingerprint: "", channel: "cli" } as const };
};
const looser = (text: string): string =>
  text.replace("quorum: 2, assurance: A2, within: 10m", "quorum: 1, assurance: A2, within: 10m");

test("an edited file changes nothing until the people whom the old revision names have signed (P6)", async () => {
  await start({ steward: true });
  const before = world.home.adoption.current().revision;
  await edit(looser);
  await expect
    .poll(async () => (await world.home.store.newestEntries(1))[0]?.kind, { timeout: 5_000 })
    .toBe("policy.proposed");
  expect(world.home.adoption.current().revision).toBe(before);
  const proposal = await world.home.adoption.proposal();
  expect(proposal.changed).toBe(true);
  expect(proposal.diff.some((line) => line.weaker && line.text.includes("vault-notes-need-two"))).toBe(true);
  expect(proposal.needs).toMatchObject({ quorum: 2 });
  await expect(world.home.adoption.adopt([await signed("ben")])).rejects.toMatchObject({
    code: "ADOPTION_REFUSED",
  });
  await expect(world.home.adoption.adopt([await signed("ben"), await signed("ben")])).rejects.toMatchObject({
    code: "ADOPTION_REFUSED",
  });
  const revision = await world.home.adoption.adopt([await signed("ben"), await signed("dee")]);
  expect(revision).not.toBe(before);
  expect(world.home.adoption.current().revision).toBe(revision);
});

test("a proposal is reported once, an invalid one with its errors, and changes nothing", async () => {
  await start({ steward: true });
  await edit((text) => text.replace("verdict: allow", "verdict: alow"));
  await expect
    .poll(async () => (await world.home.store.newestEntries(1))[0], { timeout: 5_000 })
    .toMatchObject({ kind: "policy.proposed", data: { revision: null } });
  const size = world.home.store.head().size;
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(world.home.store.head().size).toBe(size);
  const proposal = await world.home.adoption.proposal();
  expect(proposal.errors[0]).toMatch(/policy\.yaml:\d+:\d+ rules\[0\]\.verdict: .*did you mean allow/);
  await expect(world.home.adoption.adopt([])).rejects.toMatchObject({ code: "POLICY_INVALID" });
});

test("a statement binds the old and the new revision (P6)", async () => {
  await start();
  await edit(looser);
  const [ben, dee] = [await signed("ben"), await signed("dee")];
  await edit((text) => text.replace("the vault needs two people", "the vault"));
  await expect(world.home.adoption.adopt([ben, dee])).rejects.toMatchObject({ code: "ADOPTION_REFUSED" });
});

test("on_save adopts a valid file at once and reports an invalid one", async () => {
  await start({ steward: true, head: "adopt: on_save" });
  const before = world.home.adoption.current().revision;
  await edit(looser);
  await expect.poll(() => world.home.adoption.current().revision, { timeout: 5_000 }).not.toBe(before);
  const adopted = world.home.adoption.current().revision;
  await edit((text) => `${text}\nrulez: []\n`);
  await expect
    .poll(async () => (await world.home.store.newestEntries(1))[0]?.kind, { timeout: 5_000 })
    .toBe("policy.proposed");
  expect(world.home.adoption.current().revision).toBe(adopted);
});

test("after an adoption an open request stands if its requirement is the same, else it is stale (D3, C2)", async () => {
  await start({ steward: true, head: "adopt: on_save" });
  const ledger = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  const safe = ticketOf(await callTool(world.home, "write_note", { book: "safe", text: "x" }));
  await edit(looser);
  await expect
    .poll(async () => (await world.home.gate.wait(safe, CALLER, noWait)).status, { timeout: 5_000 })
    .toBe("refused");
  expect(await world.home.gate.wait(safe, CALLER, noWait)).toMatchObject({ code: "stale" });
  expect(await world.home.gate.wait(ledger, CALLER, noWait)).toMatchObject({ status: "pending" });
});

test("a person disabled between two approvals loses that approval and nothing else (C2)", async () => {
  await start({ steward: true, head: "adopt: on_save" });
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "safe", text: "x" }));
  await decide(world, world.home, ticket, "ben");
  const before = world.home.adoption.current().revision;
  await edit((text) => text.replace("ben: { name: ben,", "ben: { name: ben, disabled: true,"));
  await expect.poll(() => world.home.adoption.current().revision, { timeout: 5_000 }).not.toBe(before);
  expect(await decide(world, world.home, ticket, "dee")).toMatchObject({
    ok: true,
    value: { state: "recorded" },
  });
  expect(world.notes.runs).toEqual([]);
  expect(await decide(world, world.home, ticket, "chi")).toMatchObject({
    ok: true,
    value: { state: "granted" },
  });
});

test("an approver disabled after the grant makes it stale before the claim (C2)", async () => {
  await start({ head: "adopt: on_save" });
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  await decide(world, world.home, ticket, "ben");
  await edit((text) => text.replace("ben: { name: ben,", "ben: { name: ben, disabled: true,"));
  await world.home.adoption.checkFiles();
  expect(await world.home.gate.wait(ticket, CALLER, { ...noWait, holdMs: 3_000 })).toMatchObject({
    code: "stale",
  });
  expect(world.notes.runs).toEqual([]);
});

test("a removed owner or a disabled principal makes an open request stale (C1)", async () => {
  await start({ steward: true, head: "adopt: on_save" });
  const ticket = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  await edit((text) => text.replace("claude: { owners: [ana] }", "claude: { owners: [ana, chi] }"));
  await expect
    .poll(async () => (await world.home.gate.wait(ticket, CALLER, noWait)).status, { timeout: 5_000 })
    .toBe("refused");
});

test("a policy file that is gone changes nothing and is reported once", async () => {
  await start({ steward: true });
  const before = world.home.adoption.current().revision;
  await rm(world.settings.policyFile);
  await expect
    .poll(async () => (await world.home.store.newestEntries(1))[0], { timeout: 5_000 })
    .toMatchObject({ kind: "policy.proposed", data: { revision: null } });
  expect(world.home.adoption.current().revision).toBe(before);
  await expect(world.home.adoption.adopt([])).rejects.toMatchObject({ code: "POLICY_INVALID" });
});

test("people sign one after the other, and the last one adopts; the entry names them all (P6)", async () => {
  await start();
  await edit(looser);
  const [ben, dee] = [await signed("ben"), await signed("dee")];
  expect(await world.home.adoption.endorse(ben.statement, ben.proof)).toEqual({
    state: "endorsed",
    missing: 1,
  });
  expect(await world.home.adoption.proposal()).toMatchObject({
    missing: 1,
    endorsements: [{ person: "ben", assurance: "A2", counts: true }],
  });
  const before = world.home.store.head().size;
  // Again, with the same or a newer statement: nothing changes, and the log does not grow.
  const again = await signed("ben");
  for (const one of [ben, again]) {
    expect(await world.home.adoption.endorse(one.statement, one.proof)).toMatchObject({ missing: 1 });
  }
  expect(world.home.store.head().size).toBe(before);
  const adopted = await world.home.adoption.endorse(dee.statement, dee.proof);
  expect(adopted).toEqual({ state: "adopted", revision: world.home.adoption.current().revision });
  const [entry] = await world.home.store.newestEntries(1);
  if (entry?.kind !== "policy.adopted") throw new Error("not adopted");
  expect(entry.data.statements.map(({ statement }) => statement.approver).toSorted()).toEqual(["ben", "dee"]);
  expect(await world.home.adoption.proposal()).toMatchObject({
    changed: false,
    endorsements: [],
    missing: 0,
  });
});

test("the command line's statement joins those that were recorded, also after a restart", async () => {
  await start();
  await edit(looser);
  const ben = await signed("ben");
  await world.home.adoption.endorse(ben.statement, ben.proof);
  const other = await world.open();
  expect(await other.adoption.adopt([await signed("dee")])).toBe(ben.statement.to.policy);
});

test("a signature for a file that moved, or under a policy that moved, counts for nothing", async () => {
  await start({ steward: true });
  await edit(looser);
  const ben = await signed("ben");
  await world.home.adoption.endorse(ben.statement, ben.proof);
  await edit((text) => text.replace("the vault needs two people", "the vault"));
  expect(await world.home.adoption.proposal()).toMatchObject({ endorsements: [], missing: 2 });
  const dee = await signed("dee");
  expect(await world.home.adoption.endorse(dee.statement, dee.proof)).toMatchObject({ missing: 1 });
  await expect(world.home.adoption.endorse(ben.statement, ben.proof)).rejects.toMatchObject({
    code: "ADOPTION_REFUSED",
  });
  const chi = await signed("chi");
  expect(await world.home.adoption.endorse(chi.statement, chi.proof)).toMatchObject({ state: "adopted" });
  await expect(world.home.adoption.endorse(dee.statement, dee.proof)).resolves.toMatchObject({
    state: "adopted",
    revision: world.home.adoption.current().revision,
  });
});

test("who is not asked, or signs for somebody else, endorses nothing", async () => {
  await start({ head: "policy_change: { by: [security], quorum: 2, assurance: A2 }" });
  await edit(looser);
  const before = world.home.store.head().size;
  const ben = await signed("ben");
  await expect(world.home.adoption.endorse(ben.statement, ben.proof)).rejects.toMatchObject({
    code: "ADOPTION_REFUSED",
  });
  const forged = { ...ben.statement, approver: "dee" };
  await expect(world.home.adoption.endorse(forged, ben.proof)).rejects.toMatchObject({
    code: "SIGNATURE_INVALID",
  });
  expect(world.home.store.head().size).toBe(before);
});

test("a session's word for a policy keeps the worth it had when it was given", async () => {
  const clock = createFakeClock();
  await start({ clock });
  await edit(looser);
  const session = (person: string) => ({
    kind: "session" as const,
    method: "oidc" as const,
    signed_in_at: timestamp(clock.now()),
    subject: `https://idp.test ${person}`,
    channel: "console" as const,
  });
  const ben = session("ben");
  await world.home.adoption.endorse(await world.home.adoption.draft("ben"), ben);
  // An hour later it still is what it was; a session as old as that could not begin to sign.
  clock.advance(3_600_000);
  await expect(
    world.home.adoption.endorse(await world.home.adoption.draft("dee"), {
      ...session("dee"),
      signed_in_at: ben.signed_in_at,
    }),
  ).rejects.toMatchObject({ code: "ADOPTION_REFUSED" });
  expect(
    await world.home.adoption.endorse(await world.home.adoption.draft("dee"), session("dee")),
  ).toMatchObject({ state: "adopted" });
});

test("two who sign at the same moment adopt once", async () => {
  await start();
  const other = await world.open();
  await edit(looser);
  const [ben, dee] = [await signed("ben"), await signed("dee")];
  const answers = await Promise.all([
    world.home.adoption.endorse(ben.statement, ben.proof),
    other.adoption.endorse(dee.statement, dee.proof),
  ]);
  expect(answers.map((answer) => answer.state).toSorted()).toEqual(["adopted", "endorsed"]);
  await world.home.store.catchUp();
  const entries = await world.home.store.newestEntries(10);
  expect(entries.filter((entry) => entry.kind === "policy.adopted")).toHaveLength(2);
});
