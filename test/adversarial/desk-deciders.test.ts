import { writeFile } from "node:fs/promises";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { timestamp } from "../../src/base/clock.ts";
import { createSshKeyPair, type SshKeyPair } from "../../src/base/ssh-signing-key.ts";
import type { OpenedHome } from "../../src/compose.ts";
import type { Proof } from "../../src/consent/entries.ts";
import { quorumOf, type Asked } from "../../src/consent/quorum.ts";
import { SSHSIG_NAMESPACE, statementBytes, type Statement } from "../../src/consent/statement.ts";
import type { Entry, EntryKind } from "../../src/log/entry.ts";
import { load } from "../support/policy.ts";
import { callTool, makeWorld, ticketOf, type World } from "../support/world.ts";

// Can one person be two, can somebody who is gone still count, and what if everybody answers in the same moment?

let world: World;
afterEach(() => world.close());

/** A crowd of so many people in one group; `keys` holds all keys of each. */
async function crowd(
  size: number,
  quorum: number,
  keysEach = 1,
): Promise<{ readonly names: readonly string[]; readonly keys: ReadonlyMap<string, readonly SshKeyPair[]> }> {
  world = await makeWorld({ head: "adopt: on_save" });
  const names = Array.from({ length: size }, (_, n) => `p${n}`);
  const keys = new Map(
    names.map((name) => [name, Array.from({ length: keysEach }, (_, n) => createSshKeyPair(`${name}-${n}`))]),
  );
  await adopt(names, keys, quorum);
  return { names, keys };
}

async function adopt(
  names: readonly string[],
  keys: ReadonlyMap<string, readonly SshKeyPair[]>,
  quorum: number,
  disabled: readonly string[] = [],
): Promise<void> {
  const people = names.map((name) => {
    const ssh = (keys.get(name) ?? []).map(({ fingerprint }) => `"${fingerprint}"`).join(", ");
    return `  ${name}: { name: ${name}, ssh: [${ssh}], oidc: { issuer: "https://idp.example.com", subject: ${name} }, disabled: ${disabled.includes(name)} }`;
  });
  await writeFile(
    world.settings.policyFile,
    `version: 1
adopt: on_save
people:
  ana: { name: Ana, os: ["ana@test"] }
${people.join("\n")}
groups: { crowd: [${names.join(", ")}] }
agents: { claude: { owners: [ana] } }
defaults: { approve: { by: [crowd], quorum: ${quorum}, assurance: A2, within: 30m } }
rules: []
`,
  );
  await world.home.adoption.adopt([]);
}

const hold = async (): Promise<string> =>
  ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));

async function statementOf(
  home: OpenedHome,
  ticket: string,
  person: string,
  decision: Statement["decision"],
) {
  const { request } = home.desk.find(ticket);
  return home.desk.draft(request, { decision, person, reason: null, log: null });
}
const proofOf = (key: SshKeyPair, statement: Statement, channel: "cli" | "api" = "cli"): Proof => ({
  kind: "sshsig",
  signature: key.sign(statementBytes(statement), SSHSIG_NAMESPACE),
  fingerprint: "",
  channel,
});

async function entries<K extends EntryKind>(ticket: string, kind: K): Promise<Entry<K>[]> {
  await world.home.store.catchUp();
  const all = await world.home.requests.history(ticket as never);
  return all.filter((entry) => entry.kind === kind) as Entry<K>[];
}

test("one person with two keys, a session and two channels is one person (C2)", async () => {
  const { keys } = await crowd(3, 2, 2);
  const ticket = await hold();
  const [first, second] = keys.get("p0") ?? [];
  const statement = await statementOf(world.home, ticket, "p0", "approve");
  expect(await world.home.desk.decide(statement, proofOf(first!, statement))).toMatchObject({
    value: { state: "recorded", quorum: { clauses: [{ by: ["p0"], missing: 1 }] } },
  });
  const duplicate = { ok: false, error: { code: "duplicate" } };
  for (const [key, channel] of [
    [second!, "cli"],
    [first!, "api"],
    [second!, "api"],
  ] as const) {
    const again = { ...statement, reason: `by ${channel}` };
    expect(await world.home.desk.decide(again, proofOf(key, again, channel))).toMatchObject(duplicate);
  }
  const session: Proof = {
    kind: "session",
    method: "oidc",
    signed_in_at: timestamp(Date.now() - 1_000),
    subject: "https://idp.example.com p0",
    channel: "console",
  };
  expect(await world.home.desk.decide(statement, session)).toMatchObject(duplicate);
  expect(await entries(ticket, "grant.minted")).toEqual([]);
  expect((await world.home.desk.open(ticket as never)).quorum.clauses[0]?.by).toEqual(["p0"]);
});

test("a person disabled between the decisions does not count, and the others' decisions stand (C2)", async () => {
  const { names, keys } = await crowd(4, 2);
  const ticket = await hold();
  const decide = async (person: string) => {
    const statement = await statementOf(world.home, ticket, person, "approve");
    return world.home.desk.decide(statement, proofOf(keys.get(person)![0]!, statement));
  };
  await decide("p0");
  await adopt(names, keys, 2, ["p0"]);
  expect(await decide("p1")).toMatchObject({
    value: { state: "recorded", quorum: { clauses: [{ by: ["p1"] }] } },
  });
  expect(await decide("p0")).toMatchObject({ error: { code: "unknown_signer" } });
  expect(await decide("p2")).toMatchObject({ value: { state: "granted" } });
  expect((await entries(ticket, "consent.settled"))[0]?.data.by).toEqual(["p1", "p2"]);
});

test("a policy that is adopted while a question waits keeps it where it demands the same, and ends it where not (P6)", async () => {
  const { names, keys } = await crowd(4, 2);
  const ticket = await hold();
  await world.home.startSteward();
  await adopt([...names, "p9"], new Map([...keys, ["p9", [createSshKeyPair("p9")]]]), 2);
  await world.home.stewardRound();
  expect(world.home.desk.find(ticket).request).toBe(ticket);
  await adopt(names, keys, 3);
  await world.home.stewardRound();
  expect(await entries(ticket, "request.stale")).toMatchObject([{ data: { why: "requirement_changed" } }]);
});

test("fifty approvals at once, from two processes: one settlement, one grant, one run (G2, G3)", async () => {
  const { names, keys } = await crowd(50, 7);
  const other = await world.open();
  const ticket = await hold();
  await other.store.catchUp();
  const answers = await Promise.all(
    names.map(async (person, n) => {
      const home = n % 2 === 0 ? world.home : other;
      const statement = await statementOf(home, ticket, person, "approve").catch(() => null);
      if (statement === null) return "over";
      const answer = await home.desk.decide(statement, proofOf(keys.get(person)![0]!, statement));
      return answer.ok ? answer.value.state : answer.error.code;
    }),
  );
  expect(answers.filter((answer) => answer === "granted")).toHaveLength(1);
  expect(answers.filter((answer) => answer === "recorded")).toHaveLength(6);
  expect(answers.every((answer) => ["granted", "recorded", "already_settled", "over"].includes(answer))).toBe(
    true,
  );
  const [settled, ...more] = await entries(ticket, "consent.settled");
  expect(more).toEqual([]);
  expect(settled?.data.by).toHaveLength(7);
  expect(await entries(ticket, "grant.minted")).toHaveLength(1);
  await world.home.startSteward();
  for (let i = 0; i < 100 && world.home.fold.state.requests.open.size > 0; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    await world.home.stewardRound();
  }
  expect(world.notes.runs).toHaveLength(1);
}, 60_000);

test("half of fifty deny while half approve: it is settled once, and only a grant runs (C3)", async () => {
  const { names, keys } = await crowd(50, 3);
  const ticket = await hold();
  const answers = await Promise.all(
    names.map(async (person, n) => {
      const statement = await statementOf(world.home, ticket, person, n % 2 === 0 ? "approve" : "deny");
      const answer = await world.home.desk.decide(statement, proofOf(keys.get(person)![0]!, statement));
      return answer.ok ? answer.value.state : answer.error.code;
    }),
  );
  expect(answers.filter((answer) => answer === "granted" || answer === "denied")).toHaveLength(1);
  expect(await entries(ticket, "consent.settled")).toHaveLength(1);
  expect(await entries(ticket, "grant.minted")).toHaveLength(answers.includes("granted") ? 1 : 0);
}, 60_000);

test("whatever is decided, the quorum is so many distinct, enabled, uninvolved people with the proof (C1, C2, C3)", async () => {
  await crowd(1, 1);
  const policy = load(
    `version: 1
adopt: on_save
people:
${["ana", "p0", "p1", "p2", "p3"].map((id) => `  ${id}: { name: ${id}, disabled: ${id === "p3"} }`).join("\n")}
groups: { crowd: [ana, p0, p1, p2, p3], later: [p2] }
agents: { claude: { owners: [ana] } }
rules: []
`,
    null,
  );
  const requester = {
    principal: { kind: "person", id: "ana" },
    agent: "claude",
    chain: ["p1"],
    owners: ["ana"],
  };
  const decision = fc.record({
    person: fc.constantFrom("ana", "p0", "p1", "p2", "p3", "ghost"),
    decision: fc.constantFrom("approve", "deny", "take_back"),
    assurance: fc.constantFrom("A1", "A2", "A3"),
    counted: fc.boolean(),
    takenBack: fc.boolean(),
    clauses: fc.option(fc.subarray([0, 1])),
  });
  fc.assert(
    fc.property(fc.array(decision, { maxLength: 12 }), fc.integer({ min: 1, max: 3 }), (decisions, count) => {
      const requirement = {
        clauses: [
          { from: ["crowd"], count, assurance: "A2" },
          { from: ["later"], count: 1, assurance: "A3" },
        ],
        solo: null,
      };
      const asked = { requester, requirement, decisions, escalated: [] } as unknown as Asked;
      const { clauses, met } = quorumOf(policy, asked);
      const able = (clause: number, members: readonly string[], least: string): readonly string[] => [
        ...new Set(
          decisions
            .filter(
              (one) =>
                one.decision === "approve" &&
                one.counted &&
                !one.takenBack &&
                one.assurance >= least &&
                one.clauses?.includes(clause) !== false &&
                members.includes(one.person),
            )
            .map(({ person }) => person),
        ),
      ];
      expect(clauses.map(({ by }) => [...by].sort())).toEqual([
        [...able(0, ["p0", "p2"], "A2")].sort(),
        [...able(1, ["p2"], "A3")].sort(),
      ]);
      expect(met).toBe(able(0, ["p0", "p2"], "A2").length >= count && able(1, ["p2"], "A3").length >= 1);
    }),
    { numRuns: 2_000 },
  );
});
