import { expect, test } from "vitest";
import { formatSourceError } from "../../src/base/yaml.ts";
import {
  fingerprint,
  load,
  loadErrors,
  loadRules,
  policyText,
  PEOPLE,
  ruleErrors,
} from "../support/policy.ts";

const deny = "- { id: x, match: { tool: deploy_service }, verdict: deny";

test("says file, line, column, path and what was probably meant", () => {
  const text = [
    "version: 1",
    "rules:",
    "  - id: a",
    "    verdict: hold",
    "    approve: { by: [sre], quorom: 2 }",
    "groups: { sre: [ana] }",
    "people: { ana: { name: Ana } }",
  ].join("\n");
  expect(loadErrors(text)).toEqual([
    "policy.yaml:5:27 rules[0].approve.quorom: unknown key; did you mean quorum?",
  ]);
});

test("reports every error of a file, in the order of the file", () => {
  const text = policyText(
    `
- id: a
  match: { tool: deploy_service }
  when: args.sevice == "web"
  verdict: deny
- id: a
  match: { agent: codr }
  verdict: hold
  approve: { by: [sr], quorum: 2 }
`,
    "defaults: { approve: { by: [securty], within: 0m } }",
  );
  expect(loadErrors(text).map((line) => line.replace(/^policy\.yaml:/, ""))).toEqual([
    '10:29 defaults.approve.by[0]: no group "securty"; did you mean security?',
    "10:47 defaults.approve.within: expected more than nothing and at most 720h",
    '14:16 rules[0].when: deploy_service has no argument "sevice"; did you mean service?',
    '16:9 rules[1].id: a second rule named "a"',
    '17:21 rules[1].match.agent: no agent "codr"; did you mean coder?',
    '19:21 rules[1].approve.by[0]: no group "sr"; did you mean sre?',
  ]);
});

test("places an error of a condition on its own line of a block scalar", () => {
  const errors = loadErrors(
    policyText(`
- id: a
  match: { tool: export_data }
  when: |
    args.rows > 10 &&
      args.destination.buckt == "x"
  verdict: deny
`),
  );
  expect(errors).toEqual([
    'policy.yaml:16:26 rules[0].when: args.destination has no field "buckt"; did you mean bucket?',
  ]);
});

test("checks a condition against the schema of every tool that the rule names", () => {
  const errors = (when: string, tool = "export_data"): string[] =>
    ruleErrors(`- { id: a, match: { tool: ${tool} }, when: '${when}', verdict: deny }`);
  expect(errors('args.format == "cvs"')).toEqual([
    'rules[0].when: args.format is never "cvs"; did you mean csv?',
  ]);
  expect(errors('args.format in ["csv", "xml"]')).toEqual(['rules[0].when: args.format is never "xml"']);
  expect(errors('args.rows == "10"')).toEqual(["rules[0].when: no such overload: int == string"]);
  expect(errors("args.columns.exists(c, c == 1)")).toEqual([
    "rules[0].when: no such overload: string == int",
  ]);
  expect(errors("has(args.destinaton)")).toEqual([
    'rules[0].when: export_data has no argument "destinaton"; did you mean destination?',
  ]);
  expect(errors('args["forse"] == true')).toEqual([
    'rules[0].when: export_data has no argument "forse"; did you mean force?',
  ]);
  expect(errors('args.ref == "main"', "[deploy_service, export_data]")).toEqual([
    'rules[0].when: export_data has no argument "ref"',
  ]);
  expect(errors("args.format.sub == 1")).toEqual(["rules[0].when: args.format has no fields"]);
  expect(errors("args.rows + 1")).toEqual(["rules[0].when: gives int, not true or false"]);
  expect(() =>
    loadRules("- { id: a, match: { tool: 'db_*' }, when: args.whatever == 1, verdict: deny }"),
  ).not.toThrow();
  expect(() =>
    loadRules(`- { id: a, match: { tool: export_data }, when: 'args.labels.team == "x"', verdict: deny }`),
  ).not.toThrow();
});

test("knows the variables of the gate", () => {
  const errors = (when: string): string[] => ruleErrors(`- { id: a, when: '${when}', verdict: deny }`);
  expect(errors("enviroment == 1")).toEqual([
    'rules[0].when: no variable "enviroment"; did you mean environment?',
  ]);
  expect(errors("preview.count.delete > 0")).toEqual([
    'rules[0].when: preview has no field "count"; did you mean counts?',
  ]);
  expect(errors('preview.counts.delete == "1"')).toEqual(["rules[0].when: no such overload: int == string"]);
  expect(errors('effect == "delete"')).toEqual(['rules[0].when: effect is never "delete"']);
  expect(errors('gate.isolation == "non"')).toEqual([
    'rules[0].when: gate.isolation is never "non"; did you mean none?',
  ]);
  expect(errors('targets.exists(t, t.enviroment == "x")')).toEqual([
    'rules[0].when: t has no field "enviroment"; did you mean environment?',
  ]);
  expect(errors("1 +")).toEqual(["rules[0].when: unexpected token: EOF"]);
});

test("an allow rule that rests on a claim does not load, whichever way it is written (P2)", () => {
  for (const when of [
    'claims.justification == "urgent"',
    "has(claims.client)",
    'args.ref == "main" || claims.reasoning',
    '["a"].exists(c, claims.client == c)',
    'claims["client"] == "x"',
  ]) {
    const rule = `match: { tool: deploy_service }, when: '${when}', verdict: allow }`;
    expect(ruleErrors(`- { id: a, ${rule}`)).toEqual([
      "rules[0].when: an allow rule may not rest on claims: the agent's side writes them",
    ]);
    expect(ruleErrors(`- { id: a, mode: shadow, ${rule}`)).toHaveLength(1);
    expect(() => loadRules(`- { id: a, ${rule.replace("allow", "deny")}`)).not.toThrow();
  }
});

test("A4 does not load until device attestation can be verified, and A0 never does", () => {
  const hold = (assurance: string): string[] =>
    ruleErrors(`- { id: a, verdict: hold, approve: { by: sre, assurance: ${assurance} } }`);
  expect(hold("A4")).toContain(
    "rules[0].approve.assurance: A4 needs verified device attestation, which this release does not have; use A3",
  );
  expect(hold("A0")).toContain(
    "rules[0].approve.assurance: A0 proves nothing about who decided; use A1 or more",
  );
  expect(hold("A5")).toEqual(['rules[0].approve.assurance: expected A0, A1, A2, A3 or A4; got "A5"']);
});

test("refuses a demand that nobody could ever meet (C7)", () => {
  const hold = (approve: string): string[] => ruleErrors(`- { id: a, verdict: hold, approve: ${approve} }`);
  expect(hold("{ by: sre, quorum: 4 }")).toEqual([
    "rules[0]: needs 4 of sre with A2, and only ana, ben, chi can: sre has 3",
  ]);
  // ana owns the only agent, so whatever passkeys there are, only ben and chi are left.
  expect(hold("{ by: sre, quorum: 3, assurance: A3 }")).toEqual([
    "rules[0]: for coder, owned by ana, it needs 3 of sre with A3, and only ben can; " +
      "A3 takes a passkey or an ssh key with user_verified: true; owners can't approve",
  ]);
  expect(() =>
    loadRules("- { id: a, verdict: hold, approve: { by: [sre, security], quorum: 2, assurance: A3 } }"),
  ).not.toThrow();
});

test("warns of a demand that the keys of the file don't prove: the log may hold passkeys (C7)", () => {
  const policy = loadRules("- { id: a, verdict: hold, approve: { by: sre, quorum: 2, assurance: A3 } }");
  expect(policy.warnings.map(({ message }) => message)).toEqual([
    "for coder, owned by ana, it needs 2 of sre with A3, and only ben can; " +
      "A3 takes a passkey or an ssh key with user_verified: true; owners can't approve",
  ]);
});

test("a disabled person meets no demand and is in no group (C2)", () => {
  const alone = (disabled: boolean): string =>
    policyText("- { id: a, verdict: deny }", "defaults: { approve: { by: security } }").replace(
      "dee: { name: Dee",
      `dee: { name: Dee, disabled: ${disabled}`,
    );
  expect(loadErrors(alone(true)).join()).toContain(
    "defaults.approve: needs 1 of security with A2, and nobody can",
  );
  expect(load(alone(false)).groups.get("security")).toEqual(["dee"]);
});

test("someone alone with an agent loads with solo and not without (C6)", () => {
  const text = (solo: string): string => `
version: 1
people: { ana: { name: Ana, ssh: ["${fingerprint("a")}"] } }
groups: { sre: [ana] }
agents: { coder: { owners: [ana] } }
policy_change: { by: sre, quorum: 1, assurance: A2 }
${solo}
defaults: { approve: { by: sre, assurance: A3 } }
`;
  expect(loadErrors(text("")).join()).toContain("needs 1 of sre with A3, and nobody can");
  expect(load(text("solo: ana")).solo).toBe("ana");
  expect(loadErrors(text("solo: anna"))).toContain(
    'policy.yaml:7:7 solo: no person "anna"; did you mean ana?',
  );
});

test("people cannot share a key or an account, because quorum counts people", () => {
  const text = (ben: string): string => `
version: 1
people:
  ana: { name: Ana, ssh: ["${fingerprint("a")}"], os: ["501@mac"], slack: T1/U1 }
  ben: { name: Ben, ${ben} }
`;
  const shared = "ana has it too; people can't share it";
  expect(loadErrors(text(`ssh: ["${fingerprint("a")}"]`))).toEqual([
    `policy.yaml:5:27 people.ben.ssh[0]: ${shared}`,
  ]);
  expect(loadErrors(text('os: ["501@mac"]'))).toEqual([`policy.yaml:5:26 people.ben.os[0]: ${shared}`]);
  expect(loadErrors(text("slack: T1/U1"))).toEqual([`policy.yaml:5:28 people.ben.slack: ${shared}`]);
  expect(loadErrors(text('ssh: ["SHA256:short"]'))[0]).toContain("expected SHA256: and 43 characters");
});

test("refuses names that mean two things, and groups that contain themselves", () => {
  const text = (rest: string): string => `version: 1\npeople: { ana: { name: Ana } }\n${rest}\n`;
  expect(loadErrors(text("groups: { ana: [ana] }"))).toContain(
    "policy.yaml:3:16 groups.ana: a person has the same name",
  );
  expect(loadErrors(text("services: { ana: {} }"))).toContain(
    "policy.yaml:3:18 services.ana: a person has the same name",
  );
  expect(loadErrors(text("groups: { a: [b], b: [a] }")).join()).toContain(
    "groups.a: contains itself: a > b > a",
  );
  expect(loadErrors(text("groups: { a: [anna] }"))).toEqual([
    'policy.yaml:3:15 groups.a[0]: no person or group "anna"; did you mean ana?',
  ]);
  expect(load(text("groups: { all: [some], some: [ana] }")).groups.get("all")).toEqual(["ana"]);
});

test("names that JavaScript objects have are names like any other", () => {
  const text = policyText(
    "- { id: constructor, match: { tool: toString }, verdict: deny }\n- { id: hasOwnProperty, verdict: deny }",
  ).replace("groups: {", "groups: { valueOf: [ana],");
  expect(load(text, null).groups.get("valueOf")).toEqual(["ana"]);
  expect(Object.keys(load(text, null).document["rules"] as object).sort()).toEqual([
    "constructor",
    "hasOwnProperty",
  ]);
});

test("a hold needs somebody to ask", () => {
  expect(ruleErrors("- { id: a, verdict: hold }", "")).toEqual([
    "rules[0]: a hold needs approve, here or under defaults",
  ]);
  expect(ruleErrors("- { id: a, verdict: hold, approve: { quorum: 2 } }", "")).toEqual([
    "rules[0].approve: missing by: which groups are asked",
  ]);
  expect(ruleErrors("- { id: a, verdict: hold, approve: { by: ana } }")).toEqual([
    'rules[0].approve.by: no group "ana", but a person; make a group: groups: { only-ana: [ana] }',
  ]);
  expect(ruleErrors("- { id: a, verdict: allow, approve: { by: sre } }")).toEqual([
    "rules[0].approve: approve is for hold, not allow",
  ]);
});

test("says of keys that other releases or products have that they are not here", () => {
  expect(loadErrors(`version: 1\nrisk: { weights: {} }\n`)).toEqual([
    "policy.yaml:2:1 risk: risk scores are not in this release",
  ]);
  expect(loadErrors("")).toEqual(["policy.yaml:1:1 expected a mapping, got nothing"]);
  expect(loadErrors("version: 2\n")).toEqual(["policy.yaml:1:10 version: expected 1; got 2"]);
});

test("the revision says what the policy means, not how it is written", () => {
  const one = load(policyText(`${deny} }\n- { id: y, verdict: allow, match: { tool: [b, a] } }`));
  const other = load(
    `${policyText("- { id: y, verdict: allow, match: { tool: [a, b, a] } }\n- id: x\n  match: { tool: [deploy_service] }\n  verdict: deny")}
tests:
  - { it: denies, call: { tool: deploy_service }, expect: { verdict: deny } }
# a comment
`,
  );
  expect(one.revision).toBe(other.revision);
  expect(one.revision).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect(load(policyText(`${deny}, because: no }`)).revision).not.toBe(one.revision);
});

test("hands over people, agents, services and what adoption needs", () => {
  const policy = load(
    `version: 1\n${PEOPLE}\nservices: { ci: { description: CI } }\nmasks: { pii: { keys: [email] } }\nadopt: on_save\n`,
  );
  expect(policy.people.get("chi")).toEqual({
    id: "chi",
    name: "Chi",
    disabled: false,
    os: [],
    ssh: [{ fingerprint: fingerprint("c"), userVerified: false }],
    oidc: null,
  });
  expect(policy.agents.get("coder")?.owners).toEqual(["ana"]);
  expect([...policy.services]).toEqual(["ci"]);
  expect(policy.masks.get("pii")).toEqual(["email"]);
  expect(policy.adopt).toBe("on_save");
  expect(policy.policyChange).toEqual({ by: ["security", "sre"], quorum: 2, assurance: "A3" });
  expect(load("version: 1\n").adopt).toBe("signed");
  expect(load("version: 1\n").warnings.map(formatSourceError)).toEqual([
    "policy.yaml:1:1 no policy_change: nobody can adopt a change of this file",
  ]);
});

test("ten thousand rules load in seconds", () => {
  const rules = Array.from(
    { length: 10_000 },
    (_, i) =>
      `- { id: r${i}, match: { tool: t${i % 500}, environment: e${i % 9} }, when: 'args.a == "${i}"', verdict: deny }`,
  );
  const started = performance.now();
  expect(Object.keys(loadRules(rules.join("\n")).document["rules"] as object)).toHaveLength(10_000);
  expect(performance.now() - started).toBeLessThan(20_000);
});
