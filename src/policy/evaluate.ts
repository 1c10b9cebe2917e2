import { canonicalJson } from "../base/canonical-json.ts";
import { digestJson, type Digest } from "../base/digest.ts";
import { createFacts, type Facts } from "./cel.ts";
import type { PolicyInput, Verdict } from "./policy.ts";
import type { ApproveDocument } from "./resolve.ts";
import { fitsRequest, matchedByError, readAny, readRule, type Reading, type Rule } from "./rule.ts";
import { meets, type Clause, type Requirement, type RuleMatch, type VerdictKind } from "./verdict.ts";

// From the rules that match to one verdict.
//
//   V1. The strictest matching rule wins: deny > hold > allow. Order never matters.
//   V2. Nothing matching means hold with `defaults.approve`; where the policy has none, deny.
//   V3. Every matching hold is a clause, and each must be met. Shortest deadline, stricter `execute`.
//   V4. Masks of all matching rules accumulate. An allow rule that can't be read still masks.
//   V5. Only a hold that is sure stands in for the default. One that matched by an error, or rests on a claim (P2), is
//       asked besides it: or an agent could pick a weaker question by leaving a field out or saying the right thing.
//   V6. Shadow rules are read and reported, and change nothing.

export const BECAUSE_NOTHING_MATCHES = "no rule speaks about this call, so people are asked";
export const BECAUSE_NOBODY_TO_ASK = "no rule speaks about this call, and the policy names nobody to ask";

/** What every request shares. */
export interface EvaluationParts {
  readonly rules: readonly Rule[];
  /** `defaults.approve`; null where the policy has none. */
  readonly fallback: ApproveDocument | null;
  readonly groups: ReadonlyMap<string, readonly string[]>;
  readonly solo: string | null;
}

export interface Evaluator {
  /** `candidates`: orders of at least all rules that could match, each once. */
  evaluate(input: PolicyInput, candidates: Iterable<number>): Verdict;
}

/** Distinct requirements remembered: their digest is the dearest part of a verdict. */
const REMEMBERED = 1_000;

interface Required {
  readonly requirement: Requirement;
  readonly digest: Digest;
}

/** What the rules said, before it is weighed. */
interface Found {
  readonly deny: Rule[];
  readonly hold: Rule[];
  readonly allow: Rule[];
  readonly shadow: Rule[];
  /** What rules that matched by an error say; null where none did. */
  errors: Map<Rule, RuleMatch> | null;
  masks: Set<string> | null;
  isDenyOrHoldOpen: boolean;
  isAllowOpen: boolean;
  isMaskOpen: boolean;
}

export function createEvaluator(parts: EvaluationParts): Evaluator {
  const remembered = new Map<string, Required>();
  const requirementOf = (
    holds: readonly Rule[],
    fallback: ApproveDocument | null,
    masks: readonly string[],
    registration: Digest | null,
  ): Required => {
    let key = fallback === null ? "" : "default";
    for (const rule of holds) key += `,${rule.order}`;
    key += `|${masks.join(",")}|${registration}`;
    const known = remembered.get(key);
    if (known) return known;
    const asked = [...holds.map((rule) => rule.approve!), ...(fallback === null ? [] : [fallback])];
    const requirement = joinRequirements(asked, masks, registration, parts);
    const made = { requirement, digest: digestJson("requirement", requirement) };
    if (remembered.size >= REMEMBERED) remembered.clear();
    remembered.set(key, made);
    return made;
  };

  return {
    evaluate(input, candidates) {
      const found = collect(parts.rules, input, candidates);
      const isDefault = found.deny.length === 0 && found.allow.length === 0 && !hasSureHold(found);
      const verdict = strictest(found, isDefault, parts.fallback !== null);
      const deciding = verdict === null ? [] : found[verdict];
      const rules = matchesOf(deciding, found.errors);
      const masks = found.masks === null || verdict === "deny" ? [] : [...found.masks].sort();
      const required =
        verdict === "hold"
          ? requirementOf(deciding, isDefault ? parts.fallback : null, masks, input.registration)
          : null;
      const canChange = found.isDenyOrHoldOpen || found.isMaskOpen || (isDefault && found.isAllowOpen);
      return {
        verdict: verdict ?? "deny",
        rules,
        open: input.preview === null && verdict !== "deny" && canChange,
        requirement: required?.requirement ?? null,
        requirementDigest: required?.digest ?? null,
        because: verdict === null ? [BECAUSE_NOBODY_TO_ASK] : reasons(rules),
        shadow: matchesOf(found.shadow, found.errors),
        masks,
      };
    },
  };
}

function collect(rules: readonly Rule[], input: PolicyInput, candidates: Iterable<number>): Found {
  const found: Found = {
    deny: [],
    hold: [],
    allow: [],
    shadow: [],
    errors: null,
    masks: null,
    isDenyOrHoldOpen: false,
    isAllowOpen: false,
    isMaskOpen: false,
  };
  let made: Facts | undefined;
  const facts = (): Facts => (made ??= createFacts(input));
  for (const order of candidates) {
    const rule = rules[order]!;
    const fits = fitsRequest(rule, input);
    if (fits === false) continue;
    const isAllow = rule.verdict === "allow";
    const reading: Reading = readRule(rule, fits, input, facts);
    let isMatch = reading === true;
    if (typeof reading === "object" && !isAllow) {
      (found.errors ??= new Map()).set(rule, matchedByError(rule, reading));
      isMatch = true;
    }
    if (rule.isShadow) {
      if (isMatch) found.shadow.push(rule);
      continue;
    }
    if (isMatch) found[rule.verdict].push(rule);
    else if (reading === "open" && isAllow) found.isAllowOpen = true;
    else if (reading === "open") found.isDenyOrHoldOpen = true;
    if (rule.masks.length === 0) continue;
    const masking = isAllow ? readAny(rule, input, facts) : reading;
    if (masking === "open") found.isMaskOpen = true;
    else if (masking !== false) for (const mask of rule.masks) (found.masks ??= new Set()).add(mask);
  }
  return found;
}

function hasSureHold({ hold, errors }: Found): boolean {
  return hold.some((rule) => rule.condition?.mentionsClaims !== true && errors?.has(rule) !== true);
}

/** V1 and V2; null is the deny of a policy that has nobody to ask. */
function strictest(
  found: Readonly<Record<VerdictKind, readonly Rule[]>>,
  isDefault: boolean,
  hasFallback: boolean,
): VerdictKind | null {
  if (isDefault) return hasFallback ? "hold" : null;
  if (found.deny.length > 0) return "deny";
  return found.hold.length > 0 ? "hold" : "allow";
}

/** In the order of the file. */
function matchesOf(rules: Rule[], errors: ReadonlyMap<Rule, RuleMatch> | null): RuleMatch[] {
  if (rules.length > 1) rules.sort((a, b) => a.order - b.order);
  return rules.map((rule) => errors?.get(rule) ?? rule.matched);
}

function reasons(rules: readonly RuleMatch[]): string[] {
  if (rules.length === 0) return [BECAUSE_NOTHING_MATCHES];
  const all: string[] = [];
  for (const { because } of rules) if (because !== null && !all.includes(because)) all.push(because);
  return all;
}

/** V3: one requirement out of several holds. */
export function joinRequirements(
  asked: readonly ApproveDocument[],
  masks: readonly string[],
  registration: Digest | null,
  { groups, solo }: Pick<EvaluationParts, "groups" | "solo">,
): Requirement {
  const clauses = joinClauses(asked.map(clauseOf));
  const reminders = asked.flatMap(({ remind_ms: ms }) => (ms === undefined ? [] : [ms]));
  return {
    clauses,
    withinMs: Math.min(...asked.map((approve) => approve.within_ms)),
    executeWithinMs: Math.min(...asked.map((approve) => approve.execute_within_ms)),
    execute: asked.some((approve) => approve.execute === "when_attached") ? "when_attached" : "on_approval",
    masks,
    solo: solo !== null && clauses.every((clause) => isSoloClause(clause, solo, groups)) ? solo : null,
    registration,
    ...(reminders.length === 0 ? {} : { remindMs: Math.min(...reminders) }),
  };
}

// Keys that say nothing are left out: a demand that never escalates has the digest that it always had. The steps stand
// by time, whatever their order in the file.
function clauseOf({ by, quorum, assurance, escalate }: ApproveDocument): Clause {
  const clause = { from: by, count: quorum, assurance };
  if (escalate.length === 0) return clause;
  const steps = escalate.map(({ after_ms: afterMs, to }) => ({ afterMs, to }));
  steps.sort((a, b) => a.afterMs - b.afterMs || (a.to.join() < b.to.join() ? -1 : 1));
  return { ...clause, escalate: steps };
}

// C6: solo applies where one person is asked, and that person is among those who are.
function isSoloClause(clause: Clause, solo: string, groups: ReadonlyMap<string, readonly string[]>): boolean {
  return clause.count === 1 && clause.from.some((group) => groups.get(group)?.includes(solo));
}

// Canonical order, so that the same demands have the same digest whichever rules made them. A clause that another one
// implies is left out: two of sre with passkeys are also one of sre or security with any proof.
function joinClauses(clauses: readonly Clause[]): Clause[] {
  const distinct = new Map(clauses.map((clause) => [canonicalJson(clause), clause]));
  const kept = [...distinct].filter(
    ([text, clause]) =>
      ![...distinct].some(([other, stricter]) => other !== text && implies(stricter, clause)),
  );
  return kept.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, clause]) => clause);
}

/** True where whoever meets `a` meets `b` too, at any time while they wait. */
export const implies = (a: Clause, b: Clause): boolean =>
  a.count >= b.count &&
  meets(a.assurance, b.assurance) &&
  a.from.every((group) => b.from.includes(group)) &&
  (a.escalate ?? []).every(({ afterMs, to }) =>
    to.every((group) => b.from.includes(group) || reachesBy(b, group, afterMs)),
  );

/** True where the group may serve the clause once it has waited so long. */
const reachesBy = ({ escalate = [] }: Clause, group: string, afterMs: number): boolean =>
  escalate.some((step) => step.afterMs <= afterMs && step.to.includes(group));

/** True where a hold with `a` instead of `b` asks for no less, in any respect. */
export const demandsAsMuch = (a: ApproveDocument, b: ApproveDocument): boolean =>
  implies(clauseOf(a), clauseOf(b)) &&
  a.within_ms <= b.within_ms &&
  a.execute_within_ms <= b.execute_within_ms &&
  (a.execute === "when_attached" || b.execute === "on_approval");
