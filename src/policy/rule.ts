import type { Place } from "../base/yaml.ts";
import type { Effect, Target } from "../request/action-request.ts";
import type { Condition, ConditionError, Facts } from "./cel.ts";
import { namesMatcher } from "./glob.ts";
import type { PolicyInput } from "./policy.ts";
import type { ApproveDocument, MatchDocument, RuleDocument } from "./resolve.ts";
import type { RuleMatch, VerdictKind } from "./verdict.ts";

// One rule, compiled, and what it says about one call.
//
//   R1. With several targets an allow rule matches only if every target does; deny and hold if any does.
//   R2. What can't be known counts against the call: an error, a missing field, a call without a target or of an agent
//       or principal whom the policy does not know makes a deny or hold rule match and an allow rule not.
//   R3. In the first pass a condition that needs the preview is open unless it is decided whatever the preview says.

/** A compiled rule. */
export interface Rule {
  /** Its place among the rules of the file, from 0. */
  readonly order: number;
  readonly id: string;
  readonly verdict: VerdictKind;
  readonly isShadow: boolean;
  readonly masks: readonly string[];
  /** Set for hold. */
  readonly approve: ApproveDocument | null;
  readonly condition: Condition | null;
  /** The match block as written, for explanations. */
  readonly match: MatchDocument;
  readonly tests: MatchTests;
  /** Whether match block or condition speak about a target. */
  readonly isPerTarget: boolean;
  /** What it says where it matched without an error. */
  readonly matched: RuleMatch;
  readonly line: number;
  /** Place of an offset of its condition. */
  readonly conditionPlace: (offset: number) => Place;
}

type Test = (text: string) => boolean;

/** The match block compiled; null matches everything. */
export interface MatchTests {
  readonly tool: Test | null;
  readonly agent: Test | null;
  readonly principal: Test | null;
  readonly effect: ((effect: Effect) => boolean) | null;
  readonly environment: Test | null;
  readonly targetKind: Test | null;
  readonly target: Test | null;
}

/** True, false, undecided without the preview, or why it could not be told. */
export type Reading = boolean | "open" | ConditionError;

const NO_TARGET: ConditionError = { code: "no_target", message: "the call names no such target", offset: 0 };

export function compileRule(
  document: RuleDocument,
  order: number,
  condition: Condition | null,
  line: number,
  conditionPlace: (offset: number) => Place,
): Rule {
  const { match } = document;
  const effects = match.effect;
  const tests: MatchTests = {
    tool: testOf(match.tool),
    agent: testOf(match.agent),
    principal: testOf(match.principal),
    effect: effects === null ? null : (effect) => effects.includes(effect),
    environment: testOf(match.environment),
    targetKind: testOf(match.target_kind),
    target: testOf(match.target),
  };
  return {
    order,
    id: document.id,
    verdict: document.verdict,
    isShadow: document.mode === "shadow",
    masks: document.mask,
    approve: document.approve,
    condition,
    match,
    tests,
    isPerTarget:
      tests.environment !== null ||
      tests.targetKind !== null ||
      tests.target !== null ||
      condition?.isPerTarget === true,
    matched: { id: document.id, verdict: document.verdict, because: document.because, error: null },
    line,
    conditionPlace,
  };
}

const testOf = (patterns: readonly string[] | null): Test | null =>
  patterns === null ? null : namesMatcher(patterns);

const NO_AGENT: ConditionError = {
  code: "unknown_agent",
  message: "the policy does not know the agent",
  offset: 0,
};
const NO_PRINCIPAL: ConditionError = {
  code: "unknown_principal",
  message: "the policy does not know the principal",
  offset: 0,
};

/** Whether everything but tool, targets and condition fits; an error where it names a side that nobody knows (R2). */
export function fitsRequest(
  { tests }: Rule,
  { agent, effect, principal }: PolicyInput,
): boolean | ConditionError {
  const isOutside =
    (tests.agent !== null && agent !== null && !tests.agent(agent)) ||
    (tests.effect !== null && !tests.effect(effect)) ||
    (tests.principal !== null && principal !== null && !tests.principal(principal.id));
  if (isOutside) return false;
  if (tests.principal !== null && principal === null) return NO_PRINCIPAL;
  return tests.agent !== null && agent === null ? NO_AGENT : true;
}

/** What a rule says whose match block fits the request so far, or can't be told to. */
export function readRule(
  rule: Rule,
  fits: true | ConditionError,
  input: PolicyInput,
  facts: () => Facts,
): Reading {
  const isAllow = rule.verdict === "allow";
  if (isAllow && fits !== true) return fits;
  const reading = isAllow ? readAll(rule, input, facts) : readAny(rule, input, facts);
  return fits === true || reading === false || reading === "open" ? reading : fits;
}

/** R1 for deny and hold, and for the masks of any rule. */
export function readAny(rule: Rule, input: PolicyInput, facts: () => Facts): Reading {
  if (!rule.isPerTarget) return readCondition(rule, input, facts);
  if (input.targets.length === 0) return readTarget(rule, null, input, facts);
  let undecided: Reading = false;
  for (const target of input.targets) {
    const reading = readTarget(rule, target, input, facts);
    if (reading === true) return true;
    // Here an error is a match, so it outweighs what is still open.
    if (typeof reading === "object" || undecided === false) undecided = reading;
  }
  return undecided;
}

/** R1 for allow. */
export function readAll(rule: Rule, input: PolicyInput, facts: () => Facts): Reading {
  if (!rule.isPerTarget) return readCondition(rule, input, facts);
  if (input.targets.length === 0) return readTarget(rule, null, input, facts);
  let result: Reading = true;
  for (const target of input.targets) {
    const reading = readTarget(rule, target, input, facts);
    if (reading === false) return false;
    if (typeof reading === "object" || result === true) result = reading;
  }
  return result;
}

/** One target; null where the call has none. */
export function readTarget(
  rule: Rule,
  target: Target | null,
  input: PolicyInput,
  facts: () => Facts,
): Reading {
  const fits = fitsTarget(rule.tests, target);
  if (fits === false) return false;
  if (rule.condition?.isPerTarget === true) facts().setTarget(target);
  const reading = readCondition(rule, input, facts);
  if (reading === false || fits === true) return reading;
  return reading === "open" ? reading : fits;
}

/** The target part of the match block; an error where the call leaves a field empty that the rule names (R2). */
export function fitsTarget(tests: MatchTests, target: Target | null): boolean | ConditionError {
  const { environment, targetKind, target: id } = tests;
  if (target === null) return environment === null && targetKind === null && id === null ? true : NO_TARGET;
  if (
    isOutside(environment, target.environment) ||
    isOutside(targetKind, target.kind) ||
    isOutside(id, target.id)
  ) {
    return false;
  }
  const isVague =
    (environment !== null && target.environment === "") ||
    (targetKind !== null && target.kind === "") ||
    (id !== null && target.id === "");
  return isVague ? NO_TARGET : true;
}

const isOutside = (test: Test | null, value: string): boolean =>
  test !== null && value !== "" && !test(value);

export function readCondition(rule: Rule, input: PolicyInput, facts: () => Facts): Reading {
  const { condition } = rule;
  if (condition === null) return true;
  const reading = condition.evaluate(facts());
  // CEL's && and || decide around an error, so what still errs here really needs the preview (R3).
  return typeof reading === "object" && condition.isLate && input.preview === null ? "open" : reading;
}

/** What a deny or hold rule says where it matched because of an error. */
export function matchedByError(rule: Rule, error: ConditionError): RuleMatch {
  const { line, column } = rule.conditionPlace(error.offset);
  return { ...rule.matched, error: { code: error.code, message: error.message, line, column } };
}
