import { expect, test } from "vitest";
import { runPolicyTests, type TestResult } from "../../src/policy/suite.ts";
import { load, loadErrors, policyText, TOOLS } from "../support/policy.ts";

const RULES = `
- { id: look, match: { tool: deploy_service }, verdict: hold, approve: { by: [sre, security], quorum: 2, assurance: A3 } }
- { id: reads, match: { effect: read, agent: coder, principal: ana }, verdict: allow }
- { id: odd, match: { tool: other }, when: args.size > 1, verdict: deny }
- { id: dream, mode: shadow, match: { environment: prod }, verdict: deny }
`;
const run = (tests: string): readonly TestResult[] =>
  runPolicyTests(load(`${policyText(RULES)}tests:\n${tests.trim().replace(/^/gm, "  ")}\n`), TOOLS).tests;
const one = (call: string, expected: string): TestResult =>
  run(`- { it: works, call: { ${call} }, expect: { ${expected} } }`)[0]!;

test("a test says what was expected, what came, and which rule decided", () => {
  expect(one("tool: deploy_service", "verdict: hold, rule: look, quorum: 2, assurance: A3")).toMatchObject({
    it: "works",
    passed: true,
    differences: [],
    got: "hold by look",
    line: 18,
  });
  expect(one("tool: deploy_service", "verdict: deny, rule: odd, quorum: 1, assurance: A2")).toMatchObject({
    passed: false,
    differences: [
      "verdict: expected deny, got hold",
      "rule: expected odd, got look",
      "quorum: expected 1, got 2",
      "assurance: expected A2, got A3",
    ],
  });
});

test("a test can expect the error that made a rule match, and sees one that it did not expect", () => {
  expect(one("tool: other", "verdict: deny, rule: odd, error: no_such_key").passed).toBe(true);
  expect(one("tool: other", "verdict: deny, error: not_bool").differences).toEqual([
    "error: expected not_bool, got no_such_key",
  ]);
  expect(one("tool: other, args: { size: 2 }", "verdict: deny, error: no_such_key").differences).toEqual([
    "error: expected no_such_key, got none",
  ]);
  expect(one("tool: other", "verdict: hold").got).toBe("deny by odd (no_such_key: args.size is missing)");
});

test("a test without an effect has the tool's own, and write where the tool is not known", () => {
  const named = "agent: coder, principal: ana";
  expect(one(`tool: export_data, ${named}`, "verdict: allow, rule: reads").passed).toBe(true);
  expect(one(`tool: unheard_of, ${named}`, "verdict: allow").passed).toBe(false);
  expect(one(`tool: unheard_of, effect: read, ${named}`, "verdict: allow").passed).toBe(true);
});

test("a test that names no agent or principal matches no rule that does", () => {
  expect(one("tool: export_data", "verdict: hold, rules: []").passed).toBe(true);
  expect(one("tool: export_data, agent: coder", "verdict: hold, rules: []").passed).toBe(true);
});

test("a test can expect that nothing decides but the default, what shadow rules say, and targets", () => {
  expect(one("tool: q, environment: prod", "verdict: hold, rules: [], shadow: [dream]").passed).toBe(true);
  expect(one("tool: q, environment: demo", "verdict: hold, shadow: [dream]").differences).toEqual([
    "shadow: expected dream, got none",
  ]);
  const targets = "targets: [{ environment: demo }, { kind: db, id: main, environment: prod }]";
  expect(one(`tool: q, ${targets}`, "verdict: hold, shadow: [dream]").passed).toBe(true);
});

test("a report counts", () => {
  const tests = run(`
- { it: is right, call: { tool: deploy_service }, expect: { verdict: hold } }
- { it: is wrong, call: { tool: deploy_service }, expect: { verdict: allow } }
`);
  expect(tests.map(({ it, passed, line }) => `${line} ${it}: ${passed}`)).toEqual([
    "18 is right: true",
    "19 is wrong: false",
  ]);
});

test("a test about a rule, agent or person that is not there does not load", () => {
  const errors = (test: string): string[] =>
    loadErrors(`${policyText(RULES)}tests:\n  - { it: x, ${test} }\n`);
  expect(errors("call: { tool: q }, expect: { verdict: hold, rule: lok }")).toEqual([
    'policy.yaml:18:41 tests[0].expect: no rule "lok"',
  ]);
  expect(errors("call: { tool: q, agent: codr, principal: anna }, expect: { verdict: hold }")).toEqual([
    'policy.yaml:18:38 tests[0].call.agent: no agent "codr"; did you mean coder?',
    'policy.yaml:18:55 tests[0].call.principal: no person or service "anna"; did you mean ana?',
  ]);
  expect(errors("call: { tool: q, environment: a, targets: [] }, expect: { verdict: hold }")).toEqual([
    "policy.yaml:18:44 tests[0].call.environment: environment is short for targets; give one of them",
  ]);
});
