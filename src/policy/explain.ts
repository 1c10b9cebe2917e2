import { createFacts, type Facts } from "./cel.ts";
import { namesMatcher } from "./glob.ts";
import type { Explanation, PolicyInput, Verdict } from "./policy.ts";
import { fitsRequest, fitsTarget, readRule, type Reading, type Rule } from "./rule.ts";

type Candidate = Explanation["candidates"][number];

/** What each rule said about a call, and why. Quotes values of the call: for operators, never for the log. */
export function explain(verdict: Verdict, rules: readonly Rule[], input: PolicyInput): Explanation {
  const facts = createFacts(input);
  return { verdict, candidates: rules.map((rule) => explainRule(rule, input, facts)) };
}

function explainRule(rule: Rule, input: PolicyInput, facts: Facts): Candidate {
  const said = (outcome: Candidate["outcome"], why: string): Candidate => ({
    id: rule.id,
    verdict: rule.verdict,
    outcome,
    why: rule.isShadow ? `${why} (shadow: changes nothing)` : why,
    line: rule.line,
  });
  const fits = fitsRequest(rule, input);
  if (fits === false) return said("not_matched", whyNotRequest(rule, input));
  const reading = readRule(rule, fits, input, () => facts);
  if (typeof reading === "object") {
    const effect = rule.verdict === "allow" ? "it does not match" : "it matches";
    return said("error", `${reading.message}, so ${effect}`);
  }
  if (reading === false)
    return said("not_matched", whyNotTarget(rule, input) ?? withValues(rule, reading, facts));
  if (reading === "open") return said("open", `when needs the preview: ${oneLine(rule.condition!.text)}`);
  return said("matched", rule.condition === null ? "its match block fits" : withValues(rule, reading, facts));
}

function whyNotRequest({ match }: Rule, input: PolicyInput): string {
  const fields = [
    ["agent", match.agent, input.agent],
    ["effect", match.effect, input.effect],
    ["principal", match.principal, input.principal?.id ?? null],
  ] as const;
  for (const [name, patterns, value] of fields) {
    if (patterns !== null && value !== null && !namesMatcher(patterns)(value))
      return isNot(name, value, patterns);
  }
  return "its match block does not fit";
}

// The first target that decides: for an allow any that does not fit, else all of them do not.
function whyNotTarget(rule: Rule, input: PolicyInput): string | null {
  const outside = input.targets.filter((target) => fitsTarget(rule.tests, target) === false);
  const [target] = outside;
  if (target === undefined) return null;
  if (rule.verdict !== "allow" && outside.length < input.targets.length) return null;
  const { match } = rule;
  const fields = [
    ["environment", match.environment, target.environment],
    ["target_kind", match.target_kind, target.kind],
    ["target", match.target, target.id],
  ] as const;
  for (const [name, patterns, value] of fields) {
    if (patterns === null || value === "" || namesMatcher(patterns)(value)) continue;
    return isNot(name, value, patterns) + (input.targets.length > 1 ? ` (target ${target.id})` : "");
  }
  return null;
}

const isNot = (name: string, value: string, patterns: readonly string[]): string =>
  `match.${name}: ${JSON.stringify(value)} is not ${patterns.map((one) => JSON.stringify(one)).join(" or ")}`;

function withValues({ condition }: Rule, reading: Reading, facts: Facts): string {
  if (condition === null) return "its match block does not fit";
  const values = condition.reads.flatMap((path) => {
    const value = valueOf(facts, path);
    return value === undefined ? [] : [`${path} = ${show(value)}`];
  });
  const shown = values.length === 0 ? "" : ` (${values.join(", ")})`;
  return `when is ${String(reading)}: ${oneLine(condition.text)}${shown}`;
}

function valueOf(facts: Facts, path: string): unknown {
  let at: unknown = facts.variables;
  for (const step of path.split(".")) {
    if (at instanceof Map) at = at.get(step);
    else if (typeof at === "object" && at !== null && Object.hasOwn(at, step))
      at = (at as Record<string, unknown>)[step];
    else return undefined;
  }
  return typeof at === "object" && at !== null && !Array.isArray(at) ? undefined : at;
}

function show(value: unknown): string {
  const text = JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "bigint" ? Number(inner) : inner,
  );
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

const oneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, " ");
