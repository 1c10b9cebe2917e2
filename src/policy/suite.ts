import type { JsonObject } from "../base/canonical-json.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { Policy, PolicyInput, ToolFacts, Verdict } from "./policy.ts";
import { testCall, type PolicyTest } from "./schema.ts";
import { ASSURANCES } from "./verdict.ts";

export interface TestReport {
  readonly passed: number;
  readonly failed: number;
  readonly tests: readonly TestResult[];
}

export interface TestResult {
  readonly it: string;
  /** Line of the test in the file. */
  readonly line: number;
  readonly passed: boolean;
  /** One per expectation that was not met: `verdict: expected deny, got hold`. */
  readonly differences: readonly string[];
  /** What decided: `hold by prod-deletes-need-two`, `hold by default`. */
  readonly got: string;
}

/** Who calls in a test that names nobody. A rule that names agents or principals does not match them. */
const UNNAMED = "unnamed";

/** Runs the tests of the file against the policy. `tools`: for the effect of a test that gives none. */
export function runPolicyTests(policy: Policy, tools: readonly ToolFacts[] | null = null): TestReport {
  const tests = policy.tests.map(({ test, line }): TestResult => {
    const verdict = policy.evaluate(testInput(test, policy, tools));
    const differences = compare(test.expect, verdict);
    return { it: test.it, line, passed: differences.length === 0, differences, got: summarise(verdict) };
  });
  const failed = tests.filter((test) => !test.passed).length;
  return { passed: tests.length - failed, failed, tests };
}

/**
 * The input of a test's call: always the second pass, with an empty preview where the test gives none, so that what a
 * rule needs and does not get shows as the error that it would be.
 */
export function testInput(
  { call }: Pick<PolicyTest, "call">,
  policy: Pick<Policy, "services">,
  tools: readonly ToolFacts[] | null = null,
): PolicyInput {
  const tool = tools?.find(({ name }) => name === call.tool);
  const principal = call.principal === undefined ? UNNAMED : call.principal;
  const { justification = null, reasoning = false, client = null } = call.claims ?? {};
  return {
    tool: call.tool,
    effect: call.effect ?? tool?.fixedEffect ?? "write",
    targets:
      call.targets ??
      (call.environment === undefined
        ? []
        : [{ kind: "resource", id: UNNAMED, environment: call.environment }]),
    agent: call.agent === undefined ? UNNAMED : call.agent,
    principal:
      principal === null
        ? null
        : { kind: policy.services.has(principal) ? "service" : "person", id: principal },
    args: call.args as JsonObject,
    preview: call.preview ?? { counts: {}, facts: {}, warnings: [], fidelity: "exact", complete: true },
    claims: { justification, reasoning, client },
    gate: { isolation: call.isolation },
    registration: null,
  };
}

/** A call from outside, as `tests:` write it; messages name the path. */
export function readTestCall(
  call: unknown,
  policy: Pick<Policy, "services">,
  tools: readonly ToolFacts[] | null,
): Result<PolicyInput, readonly string[]> {
  const parsed = testCall.safeParse(call);
  if (parsed.success) return ok(testInput({ call: parsed.data }, policy, tools));
  return err(parsed.error.issues.map((issue) => `/${issue.path.map(String).join("/")}: ${issue.message}`));
}

function compare(expect: PolicyTest["expect"], verdict: Verdict): string[] {
  const rules = verdict.rules.map((rule) => rule.id);
  const clauses = verdict.requirement?.clauses ?? [];
  const quorum = clauses.length === 0 ? undefined : Math.max(...clauses.map((clause) => clause.count));
  const assurance = ASSURANCES.findLast((level) => clauses.some((clause) => clause.assurance === level));
  const errors = verdict.rules.flatMap((rule) => (rule.error === null ? [] : [rule.error.code]));
  const shadows = verdict.shadow.map((rule) => rule.id);

  const differences: string[] = [];
  const same = (what: string, expected: unknown, got: unknown): void => {
    if (expected !== undefined && show(expected) !== show(got)) {
      differences.push(`${what}: expected ${show(expected)}, got ${show(got)}`);
    }
  };
  same("verdict", expect.verdict, verdict.verdict);
  same("rule", expect.rule === undefined ? undefined : [expect.rule], rules);
  same("rules", expect.rules && sorted(expect.rules), sorted(rules));
  same("quorum", expect.quorum, quorum);
  same("assurance", expect.assurance, assurance);
  const later = clauses.flatMap((clause) => clause.escalate?.flatMap((step) => step.to) ?? []);
  same("escalate", expect.escalate && sorted(expect.escalate), sorted([...new Set(later)]));
  if (expect.error !== undefined && !errors.includes(expect.error)) {
    differences.push(`error: expected ${expect.error}, got ${show(errors)}`);
  }
  same("shadow", expect.shadow && sorted(expect.shadow), sorted(shadows));
  same("masks", expect.masks && sorted(expect.masks), verdict.masks);
  return differences;
}

function summarise(verdict: Verdict): string {
  if (verdict.rules.length === 0) return `${verdict.verdict} by default`;
  const rules = verdict.rules.map(({ id, error }) =>
    error === null ? id : `${id} (${error.code}: ${error.message})`,
  );
  return `${verdict.verdict} by ${rules.join(", ")}`;
}

const sorted = (values: readonly string[]): string[] => [...values].sort();

function show(value: unknown): string {
  if (value === undefined) return "none";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
  return String(value);
}
