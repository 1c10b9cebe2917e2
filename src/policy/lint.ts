import { nearest } from "../base/suggest.ts";
import type { SourceError, YamlSource } from "../base/yaml.ts";
import { globCovers, globMatcher, isGlob } from "./glob.ts";
import { curableByPasskeys, whyUnmeetable } from "./meetable.ts";
import type { ToolFacts } from "./policy.ts";
import type { ApproveDocument, MatchDocument, PolicyDocument, RuleDocument } from "./resolve.ts";
import { demandsAsMuch } from "./evaluate.ts";
import type { VerdictKind } from "./verdict.ts";

// What is probably not meant. Everything here reads the resolved rules only: no solver, no guesses, and what it says
// is true wherever it speaks. Errors stop the load, warnings don't.

export interface LintParts {
  readonly document: PolicyDocument;
  /** Resolved rules in file order, with their path in the file. */
  readonly rules: readonly RuleDocument[];
  readonly source: YamlSource;
  /** Null where the tools are not known. */
  readonly tools: readonly ToolFacts[] | null;
}

export interface Lint {
  readonly errors: readonly SourceError[];
  readonly warnings: readonly SourceError[];
}

export function lintPolicy(parts: LintParts): Lint {
  const errors: SourceError[] = [];
  const warnings: SourceError[] = [];
  lintDemands(parts, errors, warnings);
  lintTimes(parts, warnings);
  lintTools(parts, warnings);
  lintWideAllows(parts, warnings);
  lintCovered(parts, warnings);
  return { errors, warnings };
}

// C7, before and after the people whom C1 removes.
function lintDemands(
  { document, rules, source }: LintParts,
  errors: SourceError[],
  warnings: SourceError[],
): void {
  const agents = Object.entries(document.agents);
  const check = (
    path: readonly (string | number)[],
    demand: ApproveDocument,
    match: MatchDocument | null,
  ): void => {
    const never = whyUnmeetable(document, demand);
    if (never !== null && !curableByPasskeys(document, demand)) {
      errors.push(source.error(path, never));
      return;
    }
    const patterns = match?.agent ?? null;
    const asking = agents.filter(
      ([agent]) => patterns === null || patterns.some((name) => globMatcher(name)(agent)),
    );
    const stuck = asking.flatMap(([agent, { owners }]) => {
      const why = whyUnmeetable(document, demand, owners);
      const message = `for ${agent}, owned by ${owners.join(", ")}, it ${why}; owners can't approve`;
      return why === null ? [] : [{ message, curable: curableByPasskeys(document, demand, owners) }];
    });
    const hopeless = stuck.length === asking.length ? stuck.find(({ curable }) => !curable) : undefined;
    if (hopeless !== undefined) errors.push(source.error(path, hopeless.message));
    else if (never !== null) warnings.push(source.error(path, never));
    else for (const { message } of stuck) warnings.push(source.error(path, message));
  };
  if (document.defaults.approve) check(["defaults", "approve"], document.defaults.approve, null);
  rules.forEach((rule, i) => {
    if (rule.approve && rule.mode === "enforce") check(["rules", i], rule.approve, rule.match);
  });
  if (document.policy_change) {
    const why = whyUnmeetable(document, document.policy_change);
    const isCurable = curableByPasskeys(document, document.policy_change);
    if (why !== null) (isCurable ? warnings : errors).push(source.error(["policy_change"], why));
  } else if (document.adopt === "signed") {
    warnings.push(source.error([], "no policy_change: nobody can adopt a change of this file"));
  }
}

/** What is written about time and never comes, or can't be enough. */
function lintTimes({ document, rules, source }: LintParts, warnings: SourceError[]): void {
  const rotations = document.on_call ?? {};
  const check = (path: readonly (string | number)[], demand: ApproveDocument): void => {
    const warn = (message: string): void => void warnings.push(source.error(path, message));
    demand.escalate.forEach(({ after_ms: after, to }) => {
      if (after >= demand.within_ms)
        warn(`escalates to ${to.join(", ")} only after the time to answer is over`);
      if (to.every((group) => demand.by.includes(group)))
        warn(`escalates to ${to.join(", ")}, who are asked anyway`);
    });
    if (demand.remind_ms !== undefined && demand.remind_ms >= demand.within_ms) {
      warn("reminds nobody: the time to answer is over before");
    }
    const groups = [...demand.by, ...demand.escalate.flatMap(({ to }) => to)];
    const fixed = new Set(
      groups.flatMap((group) => (group in rotations ? [] : (document.groups[group] ?? []))),
    );
    const turns = new Set(groups.filter((group) => group in rotations)).size;
    if (turns > 0 && fixed.size + turns < demand.quorum) {
      warn(`asks ${demand.quorum}, and of a group on call there is one at a time`);
    }
  };
  if (document.defaults.approve) check(["defaults", "approve"], document.defaults.approve);
  rules.forEach((rule, i) => {
    if (rule.approve && rule.mode === "enforce") check(["rules", i], rule.approve);
  });
}

function lintTools({ rules, source, tools }: LintParts, warnings: SourceError[]): void {
  if (tools === null) return;
  const known = tools.map((tool) => tool.name);
  rules.forEach((rule, i) => {
    for (const pattern of rule.match.tool ?? []) {
      if (known.some(globMatcher(pattern))) continue;
      const message = isGlob(pattern) ? `no tool matches "${pattern}"` : `no tool "${pattern}"`;
      warnings.push(
        source.error(["rules", i, "match", "tool"], message, { suggestion: nearest(pattern, known) }),
      );
    }
  });
}

function lintWideAllows({ rules, source }: LintParts, warnings: SourceError[]): void {
  const isOpen = (patterns: readonly string[] | null): boolean => patterns === null || patterns.includes("*");
  rules.forEach((rule, i) => {
    const { tool, environment, agent } = rule.match;
    if (rule.verdict !== "allow" || rule.mode === "shadow") return;
    if (isOpen(tool) && isOpen(environment) && isOpen(agent)) {
      warnings.push(source.error(["rules", i], "allows without naming a tool, environment or agent"));
    }
  });
}

/** Every rule is compared with every other, so only in a policy of a size that a person writes. */
const MAX_COMPARED = 1_000;

function lintCovered({ rules, source }: LintParts, warnings: SourceError[]): void {
  if (rules.length > MAX_COMPARED) return;
  const wideRules = rules.map((rule, i) => ({ rule, i })).filter(({ rule }) => rule.mode === "enforce");
  rules.forEach((rule, i) => {
    const wider = wideRules.find((other) => other.i !== i && covers(other.rule, rule, other.i < i));
    if (!wider || rule.mode === "shadow") return;
    const isSame = sameMatch(wider.rule, rule) && wider.rule.verdict === rule.verdict;
    const message = isSame
      ? `says the same as rule ${wider.rule.id}`
      : `never decides: rule ${wider.rule.id} matches wherever it does, with ${wider.rule.verdict}`;
    warnings.push(source.error(["rules", i], message));
  });
}

const STRICTNESS: Readonly<Record<VerdictKind, number>> = { allow: 0, hold: 1, deny: 2 };

/** True where `narrow` can never change a verdict that `wide` is part of. `isFirst` settles which of two twins is named. */
function covers(wide: RuleDocument, narrow: RuleDocument, isFirst: boolean): boolean {
  if (wide.when !== null && wide.when !== narrow.when) return false;
  if (STRICTNESS[wide.verdict] < STRICTNESS[narrow.verdict]) return false;
  if (!narrow.mask.every((mask) => wide.mask.includes(mask)) && wide.verdict !== "deny") return false;
  if (
    wide.verdict === "hold" &&
    narrow.verdict === "hold" &&
    !demandsAsMuch(wide.approve!, narrow.approve!)
  ) {
    return false;
  }
  const fields = Object.keys(wide.match) as (keyof MatchDocument)[];
  if (!fields.every((field) => coversField(wide.match[field], narrow.match[field]))) return false;
  return sameMatch(wide, narrow) ? isFirst || STRICTNESS[wide.verdict] > STRICTNESS[narrow.verdict] : true;
}

const coversField = (wide: readonly string[] | null, narrow: readonly string[] | null): boolean =>
  wide === null || (narrow !== null && narrow.every((one) => wide.some((many) => globCovers(many, one))));

const sameMatch = (a: RuleDocument, b: RuleDocument): boolean =>
  a.when === b.when && JSON.stringify(a.match) === JSON.stringify(b.match);
