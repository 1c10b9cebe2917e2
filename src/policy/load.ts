import type { JsonObject } from "../base/canonical-json.ts";
import { digestJson } from "../base/digest.ts";
import { err, ok, type Result } from "../base/result.ts";
import { nearest } from "../base/suggest.ts";
import {
  byPlace,
  formatSourceError,
  parseYaml,
  sourceErrors,
  type SourceError,
  type YamlSource,
} from "../base/yaml.ts";
import { accountsOf } from "./accounts.ts";
import { createConditionEngine, type Condition, type ConditionEngine } from "./cel.ts";
import { createEvaluator } from "./evaluate.ts";
import { explain } from "./explain.ts";
import { lintPolicy } from "./lint.ts";
import type { Person, Policy, ToolFacts } from "./policy.ts";
import { resolvePolicy, type PolicyDocument } from "./resolve.ts";
import { compileRule, type Rule } from "./rule.ts";
import { createRuleIndex } from "./rule-index.ts";
import { NOT_IN_THIS_RELEASE, policySchema, type RawPolicy, type RawRule } from "./schema.ts";

export interface LoadOptions {
  /** Name of the file in messages. */
  readonly file: string;
  /** The tools that conditions are checked against; null where they are not known. */
  readonly tools: readonly ToolFacts[] | null;
}

/** Text of policy.yaml to a policy that can be asked, or every reason why not, in the order of the file. */
export function loadPolicy(text: string, options: LoadOptions): Result<Policy, readonly SourceError[]> {
  const parsed = parseYaml(text, options.file);
  if (!parsed.ok) return parsed;
  const source = parsed.value;
  const read = policySchema.safeParse(source.value);
  if (!read.success) return err(sourceErrors(source, read.error, policySchema).map(explainAbsence));
  const raw = read.data;

  const errors: SourceError[] = [];
  const warnings: SourceError[] = [];
  const document = resolvePolicy(raw, source, errors);
  const engine = createConditionEngine();
  const rules = raw.rules.flatMap((rule, i) => {
    const resolved = document.rules[rule.id];
    const conditionAt = source.inside(rule.when === undefined ? ["rules", i] : ["rules", i, "when"]);
    const condition = compileCondition(rule, i, conditionAt, {
      engine,
      source,
      tools: options.tools,
      errors,
      warnings,
    });
    return resolved
      ? [compileRule(resolved, i, condition, source.locate(["rules", i]).line, conditionAt)]
      : [];
  });
  if (errors.length === 0) {
    const inFileOrder = raw.rules.map((rule) => document.rules[rule.id]!);
    const lint = lintPolicy({ document, rules: inFileOrder, source, tools: options.tools });
    errors.push(...lint.errors);
    warnings.push(...lint.warnings);
  }
  lintTests(raw, source, options.tools, errors, warnings);
  if (errors.length > 0) return err(tidy(errors));
  return ok(assemble(raw, document, rules, source, tidy(warnings)));
}

function assemble(
  raw: RawPolicy,
  document: PolicyDocument,
  rules: readonly Rule[],
  source: YamlSource,
  warnings: readonly SourceError[],
): Policy {
  const people = new Map(Object.entries(document.people).map(([id, person]) => [id, toPerson(id, person)]));
  const groups = new Map(
    Object.entries(document.groups).map(([group, members]) => [
      group,
      members.filter((member) => people.get(member)?.disabled === false),
    ]),
  );
  const index = createRuleIndex(rules);
  const evaluator = createEvaluator({
    rules,
    fallback: document.defaults.approve,
    groups,
    solo: document.solo,
  });
  const policy: Policy = {
    revision: digestJson("policy", document),
    document: document as unknown as JsonObject,
    people,
    groups,
    onCall: new Map(
      Object.entries(document.on_call ?? {}).map(([group, { people, every_ms: everyMs, starts }]) => [
        group,
        { people, everyMs, startsAt: Date.parse(starts) },
      ]),
    ),
    agents: new Map(Object.entries(document.agents)),
    services: new Set(Object.keys(document.services)),
    accounts: accountsOf(document),
    solo: document.solo,
    adopt: document.adopt,
    policyChange: document.policy_change,
    masks: new Map(Object.entries(document.masks).map(([name, { keys }]) => [name, keys])),
    warnings,
    tests: raw.tests.map((test, i) => ({ test, line: source.locate(["tests", i]).line })),
    evaluate: (input) => evaluator.evaluate(input, index.candidates(input.tool, input.agent, input.targets)),
    explain: (input) =>
      explain(
        policy.evaluate(input),
        index.forTool(input.tool).map((order) => rules[order]!),
        input,
      ),
  };
  return policy;
}

const toPerson = (id: string, person: PolicyDocument["people"][string]): Person => ({
  id,
  name: person.name,
  disabled: person.disabled,
  os: person.os,
  ssh: person.ssh.map((key) => ({ fingerprint: key.fingerprint, userVerified: key.user_verified })),
  oidc: person.oidc,
});

interface ConditionParts {
  readonly engine: ConditionEngine;
  readonly source: YamlSource;
  readonly tools: readonly ToolFacts[] | null;
  readonly errors: SourceError[];
  readonly warnings: SourceError[];
}

function compileCondition(
  rule: RawRule,
  i: number,
  placeOf: (offset: number) => { readonly line: number; readonly column: number },
  { engine, source, tools, errors, warnings }: ConditionParts,
): Condition | null {
  if (rule.when === undefined) return null;
  const names = new Set(typeof rule.match.tool === "string" ? [rule.match.tool] : rule.match.tool);
  const compiled = engine.compile(rule.when, tools?.filter((tool) => names.has(tool.name)) ?? []);
  const at = (offset: number, message: string, suggestion: string | null = null): SourceError =>
    source.error(["rules", i, "when"], message, { suggestion, at: placeOf(offset) });
  for (const { offset, message, suggestion } of compiled.problems)
    errors.push(at(offset, message, suggestion));
  const isAllow = rule.verdict === "allow";
  if (isAllow && compiled.claimAt !== null) {
    errors.push(at(compiled.claimAt, "an allow rule may not rest on claims: the agent's side writes them"));
  }
  for (const { path, offset } of isAllow ? [] : compiled.unguarded) {
    warnings.push(
      at(offset, `a call may leave ${path} out, and then the rule matches; test it with has(${path})`),
    );
  }
  for (const { offset } of isAllow ? compiled.unanchored : []) {
    warnings.push(
      at(offset, "an allow rule whose pattern may match anywhere in the text; anchor it with ^ and $"),
    );
  }
  return compiled.condition;
}

// Tests are data too: one that names a rule or a tool that isn't there would fail for the wrong reason.
function lintTests(
  raw: RawPolicy,
  source: YamlSource,
  tools: readonly ToolFacts[] | null,
  errors: SourceError[],
  warnings: SourceError[],
): void {
  const ids = new Set(raw.rules.map((rule) => rule.id));
  const known = tools === null ? null : new Set(tools.map((tool) => tool.name));
  raw.tests.forEach(({ call, expect }, i) => {
    const named = [
      ...(expect.rule === undefined ? [] : [expect.rule]),
      ...(expect.rules ?? []),
      ...(expect.shadow ?? []),
    ];
    for (const id of named)
      if (!ids.has(id)) errors.push(source.error(["tests", i, "expect"], `no rule "${id}"`));
    const names = [
      ["agent", "agent", call.agent, Object.keys(raw.agents)],
      [
        "principal",
        "person or service",
        call.principal,
        [...Object.keys(raw.people), ...Object.keys(raw.services)],
      ],
    ] as const;
    for (const [key, what, name, all] of names) {
      if (name === undefined || name === null || all.includes(name)) continue;
      const suggestion = nearest(name, all);
      errors.push(source.error(["tests", i, "call", key], `no ${what} "${name}"`, { suggestion }));
    }
    if (call.environment !== undefined && call.targets !== undefined) {
      errors.push(
        source.error(
          ["tests", i, "call", "environment"],
          "environment is short for targets; give one of them",
        ),
      );
    }
    if (known && !known.has(call.tool)) {
      warnings.push(source.error(["tests", i, "call", "tool"], `no tool "${call.tool}"`));
    }
  });
}

function explainAbsence(error: SourceError): SourceError {
  const known = Object.hasOwn(NOT_IN_THIS_RELEASE, error.path) ? NOT_IN_THIS_RELEASE[error.path] : undefined;
  return known === undefined ? error : { ...error, message: known, suggestion: null };
}

// What is inherited is checked where it is used and would be reported once per rule.
function tidy(errors: readonly SourceError[]): SourceError[] {
  return [...new Map(errors.map((error) => [formatSourceError(error), error])).values()].sort(byPlace);
}
