import { readFile, writeFile } from "node:fs/promises";
import { afterEach, expect, test } from "vitest";
import { timestamp } from "../../src/base/clock.ts";
import type { Entry } from "../../src/log/entry.ts";
import { readPolicyPeople } from "../../src/log/policy-document.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { createAdoptionCheck } from "../../src/log/verify-adoption.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../src/policy/adoption-statement.ts";
import type { AdoptionStatement, PolicyEntries } from "../../src/policy/entries.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { makeWorld, type World } from "../support/world.ts";

// A gateway writes into its log that a policy was adopted for which nobody signed. Does the log still verify?

let world: World;
afterEach(() => world.close());

type Adopted = PolicyEntries["policy.adopted"];

const start = async () => {
  const clock = createFakeClock();
  world = await makeWorld({ clock });
  clock.advance(60_000);
  const file = world.settings.policyFile;
  await writeFile(file, (await readFile(file, "utf8")).replace("the vault needs two people", "the vault"));
  return clock;
};
const signedBy = (
  person: string,
  statement: AdoptionStatement,
  key = person,
): Adopted["statements"][number] => ({
  statement,
  proof: {
    kind: "sshsig",
    signature: world.keys[key]!.sign(adoptionBytes(statement), ADOPTION_NAMESPACE),
    fingerprint: world.keys[key]!.fingerprint,
    channel: "cli",
  },
});
const signed = async (person: string) => signedBy(person, await world.home.adoption.draft(person));

const faults = async (): Promise<readonly string[]> => {
  const { store } = world.home;
  const { findings } = await verifyLog(store.lines(0), { checkpoint: await store.checkpoint() });
  return findings.filter(({ severity }) => severity === "fault").map(({ code }) => code);
};

async function adopted(): Promise<readonly Entry<"policy.adopted">[]> {
  const entries: Entry<"policy.adopted">[] = [];
  for (const seq of world.home.adoption.sequence())
    for await (const { bytes } of world.home.store.lines(seq)) {
      entries.push(JSON.parse(new TextDecoder().decode(bytes)) as Entry<"policy.adopted">);
      break;
    }
  return entries;
}

/** What a broken gateway would write besides. */
async function write(data: Adopted): Promise<void> {
  const { store } = world.home;
  const newest = world.home.fold.state.adopted.newestSeq;
  const appended = await store.append({
    expect: [{ subject: "policy", newest }],
    newKeys: [],
    entries: [{ kind: "policy.adopted", subject: "policy", policy: data.revision, data }],
  });
  expect(appended.ok).toBe(true);
}

test("an adoption that people signed verifies, by one call and one after the other", async () => {
  const clock = await start();
  await world.home.adoption.adopt([await signed("ben"), await signed("dee")]);
  clock.advance(60_000);
  const file = world.settings.policyFile;
  await writeFile(file, (await readFile(file, "utf8")).replace("because: the vault", "because: a vault"));
  for (const person of ["dee", "chi"]) {
    const { statement, proof } = await signed(person);
    await world.home.adoption.endorse(statement, proof);
  }
  expect(await adopted()).toHaveLength(3);
  expect(await faults()).toEqual([]);
});

test("one that nobody signed, or that goes on from elsewhere, is found in the log (P6)", async () => {
  await start();
  const revision = await world.home.adoption.adopt([await signed("ben"), await signed("dee")]);
  const [first, second] = (await adopted()).map(({ data }) => data) as [Adopted, Adopted];
  const from = { policy: revision, registry: second.registry };
  // Back to the first one, unsigned.
  await write({ ...first, mode: "signed", from, statements: [] });
  expect(await faults()).toEqual(["adoption_unproved"]);
});

test("the statements of an earlier adoption serve no later one (P6)", async () => {
  const clock = await start();
  const old = [await signed("ben"), await signed("dee")];
  const revision = await world.home.adoption.adopt(old);
  const [first, second] = (await adopted()).map(({ data }) => data) as [Adopted, Adopted];
  clock.advance(60_000);
  const good = { policy: first.revision, registry: first.registry };
  const back: AdoptionStatement = {
    ...old[0]!.statement,
    from: { policy: revision, registry: second.registry },
    to: good,
    issued_at: timestamp(clock.now()),
  };
  const statements = [signedBy("ben", back), signedBy("dee", { ...back, approver: "dee" })];
  await write({ ...first, mode: "signed", from: back.from, statements });
  expect(await faults()).toEqual([]);
  clock.advance(60_000);
  await write({ ...second, from: good });
  expect(await faults()).toEqual(["statement_mismatch", "statement_mismatch"]);
});

test("with the policy that ran before at hand, who signed, how many and with what is checked (P6)", async () => {
  await start();
  const people = readPolicyPeople(world.home.adoption.current().document);
  const statements = [await signed("ben"), await signed("dee")];
  await world.home.adoption.adopt(statements);
  const [first, second] = await adopted();
  const codes = (change: Partial<Adopted>): readonly string[] => {
    const check = createAdoptionCheck(() => null);
    check.adopted(first!.data, Date.parse(first!.time), null);
    const at = Date.parse(second!.time);
    return check.adopted({ ...second!.data, ...change }, at, people).map(({ code }) => code);
  };
  const [ben, dee] = statements as [Adopted["statements"][number], Adopted["statements"][number]];
  expect(codes({})).toEqual([]);
  expect(codes({ statements: [ben] })).toEqual(["adoption_unproved"]);
  expect(codes({ statements: [ben, ben] })).toEqual(["adoption_unproved"]);
  const byBen = signedBy("dee", dee.statement, "ben");
  expect(codes({ statements: [ben, byBen] })).toContain("wrong_signer");
  expect(codes({ statements: [ben, { ...dee, proof: ben.proof }] })).toContain("signature_invalid");
  expect(codes({ mode: "on_save", statements: [] })).toEqual(["adoption_unproved"]);
  expect(codes({ mode: "first", from: null })).toEqual(["adoption_unproved"]);
});
