import { readFile, writeFile } from "node:fs/promises";
import { afterEach, expect, test } from "vitest";
import { timestamp } from "../../src/base/clock.ts";
import type { AdoptionStatement } from "../../src/policy/entries.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../../src/policy/adoption-statement.ts";
import { createFakeClock } from "../support/fake-clock.ts";
import { makeWorld, type World } from "../support/world.ts";

// Adoption statements stand in the log for whoever may read it. Can one that was made for an earlier adoption bring the
// same revision back, once people have gone back to the policy that ran before?

let world: World;
afterEach(() => world.close());

const start = async () => {
  const clock = createFakeClock();
  world = await makeWorld({ clock });
  return { clock, home: world.home, adoption: world.home.adoption };
};
const signedBy = (person: string, statement: AdoptionStatement) => {
  const signature = world.keys[person]!.sign(adoptionBytes(statement), ADOPTION_NAMESPACE);
  return { statement, proof: { kind: "sshsig", signature, fingerprint: "", channel: "cli" } as const };
};
const signed = async (person: string) => signedBy(person, await world.home.adoption.draft(person));

test("signatures under a policy that people went back from never adopt it again (P6)", async () => {
  const { clock, adoption } = await start();
  const good = await readFile(world.settings.policyFile, "utf8");
  const bad = good.replace("quorum: 2, assurance: A2, within: 10m", "quorum: 1, assurance: A2, within: 10m");

  clock.advance(60_000);
  await writeFile(world.settings.policyFile, bad);
  const old = [await signed("ben"), await signed("dee")];
  const weak = await adoption.adopt(old);
  clock.advance(60_000);
  await writeFile(world.settings.policyFile, good);
  const strong = await adoption.adopt([await signed("ben"), await signed("dee")]);
  expect(strong).not.toBe(weak);

  clock.advance(60_000);
  await writeFile(world.settings.policyFile, bad);
  await expect(adoption.adopt(old)).rejects.toMatchObject({ code: "ADOPTION_REFUSED" });
  for (const { statement, proof } of old) {
    await expect(adoption.endorse(statement, proof)).rejects.toMatchObject({ code: "ADOPTION_REFUSED" });
  }
  expect(adoption.current().revision).toBe(strong);
  // What people sign now counts, of course.
  expect(await adoption.adopt([await signed("ben"), await signed("dee")])).toBe(weak);
});

test("a statement dated in the future, which could outlive such a return, is refused", async () => {
  const { clock, adoption } = await start();
  const text = await readFile(world.settings.policyFile, "utf8");
  await writeFile(world.settings.policyFile, text.replace("the vault needs two people", "the vault"));
  const drafted = await adoption.draft("ben");
  const ahead = signedBy("ben", { ...drafted, issued_at: timestamp(clock.now() + 3_600_000) });
  await expect(adoption.endorse(ahead.statement, ahead.proof)).rejects.toMatchObject({
    code: "ADOPTION_REFUSED",
  });
});
