import { expect, test } from "vitest";
import { formatSourceError } from "../../src/base/yaml.ts";
import { load, loadRules, policyText } from "../support/policy.ts";

const warnings = (rules: string): string[] =>
  loadRules(rules).warnings.map((warning) =>
    formatSourceError(warning).replace(/^policy\.yaml:\d+:\d+ /, ""),
  );

test("a rule for a tool that is not there is pointed out", () => {
  expect(warnings("- { id: a, match: { tool: [deploy_servce, export_data] }, verdict: deny }")).toEqual([
    'rules[0].match.tool: no tool "deploy_servce"; did you mean deploy_service?',
  ]);
  expect(warnings("- { id: a, match: { tool: 'aws_*' }, verdict: deny }")).toEqual([
    'rules[0].match.tool: no tool matches "aws_*"',
  ]);
  expect(load(policyText("- { id: a, match: { tool: x }, verdict: deny }"), null).warnings).toEqual([]);
});

test("an allow that names neither tool, environment nor agent is pointed out", () => {
  const message = "rules[0]: allows without naming a tool, environment or agent";
  expect(warnings("- { id: a, verdict: allow }")).toEqual([message]);
  expect(warnings("- { id: a, match: { tool: '*', effect: read }, verdict: allow }")).toEqual([message]);
  expect(warnings("- { id: a, match: { environment: demo }, verdict: allow }")).toEqual([]);
});

test("twins, and rules that can never decide, are pointed out", () => {
  expect(
    warnings(
      "- { id: a, match: { environment: x }, verdict: deny }\n- { id: b, match: { environment: [x] }, verdict: deny }",
    ),
  ).toEqual(["rules[1]: says the same as rule a"]);
  expect(
    warnings(
      "- { id: a, match: { tool: deploy_service, environment: prod }, verdict: allow }\n- { id: b, match: { environment: 'p*' }, verdict: deny }",
    ),
  ).toEqual(["rules[0]: never decides: rule b matches wherever it does, with deny"]);
  expect(
    warnings(
      "- { id: a, match: { environment: prod }, when: args.x, verdict: hold }\n- { id: b, match: { environment: prod }, verdict: hold }",
    ),
  ).toEqual(["rules[0]: never decides: rule b matches wherever it does, with hold"]);
});

test("rules that add something are not called covered", () => {
  for (const pair of [
    // stricter than the wider one
    "- { id: a, match: { environment: prod }, verdict: deny }\n- { id: b, match: { environment: 'p*' }, verdict: hold }",
    // wider in another field
    "- { id: a, match: { environment: prod }, verdict: hold }\n- { id: b, match: { environment: 'p*', agent: coder }, verdict: deny }",
    // asks other people
    "- { id: a, match: { environment: prod }, verdict: hold, approve: { by: security } }\n- { id: b, match: { environment: '*' }, verdict: hold }",
    // asks more of the same
    "- { id: a, match: { environment: prod }, verdict: hold, approve: { by: [sre, security], quorum: 2 } }\n- { id: b, match: { environment: '*' }, verdict: hold }",
    // the wider one only sometimes
    "- { id: a, match: { environment: prod }, verdict: hold }\n- { id: b, match: { environment: '*' }, when: has(args.x), verdict: deny }",
    // the wider one only in a dream
    "- { id: a, match: { environment: prod }, verdict: hold }\n- { id: b, mode: shadow, match: { environment: '*' }, verdict: deny }",
    // a call without a target is matched by the first only
    "- { id: a, verdict: hold }\n- { id: b, match: { environment: '*' }, verdict: deny }",
  ]) {
    expect(warnings(pair), pair).toEqual([]);
  }
});

test("a deny or hold that reads an optional argument without has() is pointed out", () => {
  const rule = (when: string, verdict = "deny"): string =>
    `- { id: a, match: { tool: export_data }, when: '${when}', verdict: ${verdict} }`;
  expect(warnings(rule("args.force"))).toEqual([
    "rules[0].when: a call may leave args.force out, and then the rule matches; test it with has(args.force)",
  ]);
  expect(warnings(rule('args.destination.region == "us"'))).toEqual([
    "rules[0].when: a call may leave args.destination.region out, and then the rule matches; test it with has(args.destination.region)",
  ]);
  expect(warnings(rule("has(args.force) && args.force"))).toEqual([]);
  expect(warnings(rule("args.compress"))).toEqual([]);
  expect(warnings(rule("args.force", "allow"))).toEqual([]);
});

test("an allow whose pattern may match anywhere in a text is pointed out", () => {
  const rule = (pattern: string, verdict = "allow"): string =>
    `- { id: a, match: { tool: deploy_service }, when: 'args.ref.regex("${pattern}")', verdict: ${verdict} }`;
  const message =
    "rules[0].when: an allow rule whose pattern may match anywhere in the text; anchor it with ^ and $";
  for (const pattern of ["v[0-9]+", "^v[0-9]+", "v[0-9]+$", "^v1$|v2", "^a|b$", "^v[0-9]+[$]"]) {
    expect(warnings(rule(pattern)), pattern).toEqual([message]);
    expect(warnings(rule(pattern, "deny")), pattern).toEqual([]);
  }
  for (const pattern of ["^v[0-9]+$", "(?i)^main$", "^(main|release)$", "^[|]$"]) {
    expect(warnings(rule(pattern)), pattern).toEqual([]);
  }
});

test("a hold that leaves too few people for one agent is a warning, for every agent an error (C1, C7)", () => {
  const text = policyText("- { id: a, verdict: hold, approve: { by: security } }").replace(
    "agents: {",
    "agents: { scanner: { owners: [dee] },",
  );
  expect(load(text).warnings.map(formatSourceError)).toEqual([
    "policy.yaml:12:5 rules[0]: for scanner, owned by dee, it needs 1 of security with A2, and nobody can; owners can't approve",
  ]);
});
