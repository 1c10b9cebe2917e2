import { readFile, rm, writeFile } from "node:fs/promises";
import { afterEach, expect, test } from "vitest";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../src/policy/adoption-statement.ts";
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
