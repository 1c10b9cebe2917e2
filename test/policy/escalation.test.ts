import fc from "fast-check";
import { expect, test } from "vitest";
import { formatSourceError } from "../../src/base/yaml.ts";
import { diffPolicies } from "../../src/policy/diff.ts";
import { implies } from "../../src/policy/evaluate.ts";
import { runPolicyTests } from "../../src/policy/suite.ts";
import { ASSURANCES, meets, type Clause, type Requirement } from "../../src/policy/verdict.ts";
import { input, load, loadErrors, loadRules, policyText, TOOLS } from "../support/policy.ts";

// Does waiting ever ask for fewer people, or for a weaker proof, and can the order of two rules decide who answers?

const hold = (approve: string): string => `- { id: h, verdict: hold, approve: { ${approve} } }`;
const requirementOf = (rules: string): Requirement => {
  const { requirement } = loadRules(rules).evaluate(input({}));
  if (requirement === null) throw new Error("no hold");
  return requirement;
};
const warnings = (rules: string): string[] =>
  loadRules(rules).warnings.map((one) => formatSourceError(one).replace(/^policy\.yaml:\d+:\d+ /, ""));
const lines = (before: string, after: string): string[] =>
  diffPolicies(load(policyText(before), null), load(policyText(after), null)).map(
    ({ text, weaker }) => `${weaker ? "weaker" : "      "} ${text}`,
  );

test("a demand that neither escalates nor reminds has the members and the digests that it always had", () => {
  const policy = loadRules(hold("by: sre"));
  const { requirement, requirementDigest } = policy.evaluate(input({}));
  expect(requirement).toStrictEqual({
    clauses: [{ from: ["sre"], count: 1, assurance: "A2" }],
    withinMs: 1_800_000,
    executeWithinMs: 600_000,
    execute: "on_approval",
    masks: [],
    solo: null,
    registration: null,
  });
  // Pinned: logs that stand name these digests.
  expect(requirementDigest).toBe("sha256:baaf2c773016ad60ca76c5b7cb169d63e3ca36d8d99638b3bcb0252ca75a328c");
  expect(policy.revision).toBe("sha256:99c2a3cc1e43a7b324fa0b622d6b4f3e5ae02dbf85df92e4c54c5ac63fd5b908");
});

test("steps stand by time, whatever their order in the file, and reminders come as often as any rule says", () => {
  const steps = "escalate: [{ after: 20m, to: security }, { after: 5m, to: [security] }]";
  expect(requirementOf(hold(`by: sre, ${steps}, remind: 10m`))).toMatchObject({
    clauses: [
      {
        from: ["sre"],
        escalate: [
          { afterMs: 300_000, to: ["security"] },
          { afterMs: 1_200_000, to: ["security"] },
        ],
      },
    ],
    remindMs: 600_000,
  });
  const two = `${hold("by: sre, remind: 10m")}\n- { id: g, verdict: hold, approve: { by: security, remind: 3m } }`;
  expect(requirementOf(two)).toMatchObject({ remindMs: 180_000 });
});

test("a clause is left out only where another one implies it at any time (C5)", () => {
  const wide = "- { id: w, verdict: hold, approve: { by: [sre, security] } }";
  const narrow = "- { id: n, verdict: hold, approve: { by: sre } }";
  const steps = (after: string): string =>
    `- { id: n, verdict: hold, approve: { by: sre, escalate: [{ after: ${after}, to: security }] } }`;
  // Who may answer later is among those whom the wider one asks anyway.
  expect(requirementOf(`${wide}\n${steps("5m")}`).clauses).toHaveLength(1);
  // sre alone is stricter than sre and later security, never the reverse.
  expect(requirementOf(`${narrow}\n${steps("5m").replace("id: n", "id: m")}`).clauses).toEqual([
    { from: ["sre"], count: 1, assurance: "A2" },
  ]);
  expect(requirementOf(`${steps("5m")}\n${steps("9m").replace("id: n", "id: m")}`).clauses).toEqual([
    { from: ["sre"], count: 1, assurance: "A2", escalate: [{ afterMs: 540_000, to: ["security"] }] },
  ]);
});

test("whoever meets a clause meets every clause that it implies, at any time (C5)", () => {
  const groups = ["a", "b", "c"];
  const clause: fc.Arbitrary<Clause> = fc
    .record({
      from: fc.subarray(groups, { minLength: 1 }),
      count: fc.integer({ min: 1, max: 2 }),
      assurance: fc.constantFrom(...ASSURANCES),
      escalate: fc.array(
        fc.record({ afterMs: fc.integer({ min: 1, max: 3 }), to: fc.subarray(groups, { minLength: 1 }) }),
        { maxLength: 2 },
      ),
    })
    .map(({ escalate, ...rest }) => (escalate.length === 0 ? rest : { ...rest, escalate }));
  const approval = fc.record({
    group: fc.constantFrom(...groups),
    assurance: fc.constantFrom(...ASSURANCES),
    at: fc.integer({ min: 0, max: 4 }),
  });
  const meetsClause = (one: Clause, approvals: readonly { group: string; assurance: never; at: number }[]) =>
    approvals.filter(
      ({ group, assurance, at }) =>
        meets(assurance, one.assurance) &&
        (one.from.includes(group) ||
          (one.escalate ?? []).some(({ afterMs, to }) => at >= afterMs && to.includes(group))),
    ).length >= one.count;
  fc.assert(
    fc.property(clause, clause, fc.array(approval, { maxLength: 3 }), (a, b, approvals) => {
      if (implies(a, b) && meetsClause(a, approvals as never)) {
        expect(meetsClause(b, approvals as never)).toBe(true);
      }
    }),
    { numRuns: 3_000 },
  );
});

test("a later answerer makes a demand meetable, and the lint says what never comes or is not enough (C7)", () => {
  expect(loadErrors(policyText(hold("by: security, quorum: 2"))).join()).toMatch("only dee can");
  expect(warnings(hold("by: security, quorum: 2, escalate: [{ after: 5m, to: sre }]"))).toEqual([]);
  expect(warnings(hold("by: sre, within: 10m, escalate: [{ after: 10m, to: security }]"))).toEqual([
    "rules[0]: escalates to security only after the time to answer is over",
  ]);
  expect(warnings(hold("by: sre, escalate: [{ after: 5m, to: sre }]"))).toEqual([
    "rules[0]: escalates to sre, who are asked anyway",
  ]);
  expect(warnings(hold("by: sre, within: 10m, remind: 1h"))).toEqual([
    "rules[0]: reminds nobody: the time to answer is over before",
  ]);
  expect(loadErrors(policyText(hold("by: sre, remind: 5s"))).join()).toMatch("expected at least 1m");
  expect(loadErrors(policyText(hold("by: sre, escalate: [{ after: 5m, to: secruity }]"))).join()).toMatch(
    'no group "secruity"; did you mean security?',
  );
});

test("the diff says which escalation lets more people answer, or sooner", () => {
  const steps = (text: string): string => hold(`by: sre, escalate: [${text}]`);
  expect(lines(hold("by: sre"), steps("{ after: 5m, to: security }"))).toEqual([
    "weaker rule h: escalate: none -> security after 5m",
  ]);
  expect(lines(steps("{ after: 5m, to: security }"), steps("{ after: 9m, to: security }"))).toEqual([
    "       rule h: escalate: security after 5m -> security after 9m",
  ]);
  expect(lines(steps("{ after: 9m, to: security }"), steps("{ after: 5m, to: security }"))).toEqual([
    "weaker rule h: escalate: security after 9m -> security after 5m",
  ]);
  expect(lines(hold("by: sre"), hold("by: sre, remind: 5m"))).toEqual([
    "       rule h: remind: none -> every 5m",
  ]);
});

test("a test of the policy can say who may answer later", () => {
  const rules = policyText(hold("by: sre, escalate: [{ after: 5m, to: security }]"));
  const run = (expected: string) =>
    runPolicyTests(
      load(`${rules}tests:\n  - { it: w, call: { tool: x }, expect: { verdict: hold, ${expected} } }\n`),
      TOOLS,
    ).tests[0]?.differences;
  expect(run("escalate: [security]")).toEqual([]);
  expect(run("escalate: []")).toEqual(["escalate: expected none, got security"]);
});

const ONCALL = "groups: { sre: [ana, ben, chi], security: [dee], ";
const withGroup = (group: string, rules: string): string =>
  policyText(rules).replace("groups: { sre: [ana, ben, chi], security: [dee]", ONCALL + group);
const duty = "duty: { on_call: { people: [ben, chi], every: 7d, starts: 2026-01-05T09:00:00Z } }";

test("a group on call is its people and their turns; it changes the policy only where there is one", () => {
  const policy = load(withGroup(duty, hold("by: duty")));
  expect(policy.groups.get("duty")).toEqual(["ben", "chi"]);
  expect(policy.onCall.get("duty")).toEqual({
    people: ["ben", "chi"],
    everyMs: 604_800_000,
    startsAt: Date.parse("2026-01-05T09:00:00Z"),
  });
  expect(loadRules(hold("by: sre")).document).not.toHaveProperty("on_call");
});

test("a rotation that says nothing clear does not load", () => {
  const errors = (group: string, rules = hold("by: duty")): string =>
    loadErrors(withGroup(group, rules)).join();
  expect(errors(duty.replace("ben", "bne"))).toMatch('no person "bne"; did you mean ben?');
  expect(errors(duty.replace("2026-01-05", "2026-13-05"))).toMatch("there is no such day or time");
  expect(errors(duty.replace("09:00:00Z", "09:00:00+01:00"))).toMatch("expected a UTC time");
  expect(errors(duty.replace("7d", "7s"))).toMatch("expected at least 1m");
  expect(errors(`${duty}, all: [duty, dee]`)).toMatch("duty is on call and can't be part of a group");
  expect(
    loadErrors(withGroup(duty, hold("by: sre")).replace("by: [security, sre]", "by: [duty, sre]")).join(),
  ).toMatch("duty is on call; name a fixed group");
});

test("of a group on call there is one at a time: a quorum of two needs others (C7)", () => {
  const said = (rules: string): string[] =>
    load(withGroup(duty, rules)).warnings.map((one) =>
      formatSourceError(one).split(": ").slice(1).join(": "),
    );
  expect(said(hold("by: duty, quorum: 2"))).toEqual([
    "asks 2, and of a group on call there is one at a time",
  ]);
  expect(said(hold("by: [duty, security], quorum: 2"))).toEqual([]);
});

test("another rotation is another person at some moment, and the diff says weaker in doubt", () => {
  const diff = (before: string, after: string): string[] =>
    diffPolicies(load(withGroup(before, hold("by: sre"))), load(withGroup(after, hold("by: sre")))).map(
      ({ text, weaker }) => `${weaker ? "weaker" : "      "} ${text}`,
    );
  expect(diff(duty, duty.replace("[ben, chi]", "[chi, ben]"))).toEqual([
    "weaker group duty: on call: ben, chi every 7d from 2026-01-05T09:00:00.000Z -> chi, ben every 7d from 2026-01-05T09:00:00.000Z",
  ]);
  expect(diff("duty: [ben, chi]", duty)[0]).toMatch(/^ {7}group duty: on call: none -> ben, chi/);
  expect(diff(duty, "duty: [ben, chi]")[0]).toMatch(/^weaker group duty: on call: ben, chi/);
});
