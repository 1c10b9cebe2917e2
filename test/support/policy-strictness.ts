import { expect } from "vitest";
import { implies } from "../../src/policy/evaluate.ts";
import type { Policy, Verdict } from "../../src/policy/policy.ts";
import type { Requirement, VerdictKind } from "../../src/policy/verdict.ts";
import { load, policyText } from "./policy.ts";
import { HEAD, rulesYaml, type RuleText } from "./policy-arbitrary.ts";

/** A policy of those rules and the small world's people. */
export function policyOf(texts: readonly (RuleText & { id: string })[], head = HEAD): Policy {
  const text = policyText(rulesYaml(texts), head).replace(
    "agents: {",
    "agents: { helper: { owners: [ana] },",
  );
  return load(texts.length === 0 ? text.replace(/rules:\s*$/, "") : text, null);
}

export const RANK: Record<VerdictKind, number> = { allow: 0, hold: 1, deny: 2 };

/** Whatever meets `b` meets `a` too. */
const asksNoMore = (a: Requirement, b: Requirement): boolean =>
  a.clauses.every((clause) => b.clauses.some((stricter) => implies(stricter, clause))) &&
  a.withinMs >= b.withinMs &&
  a.executeWithinMs >= b.executeWithinMs &&
  (b.execute === "when_attached" || a.execute === "on_approval") &&
  a.masks.every((mask) => b.masks.includes(mask));

/** What `before` refuses or asks for, `after` does too. */
export function expectNoLooser(before: Verdict, after: Verdict): void {
  expect(RANK[after.verdict]).toBeGreaterThanOrEqual(RANK[before.verdict]);
  if (before.verdict === "hold" && after.verdict === "hold") {
    expect(asksNoMore(before.requirement!, after.requirement!)).toBe(true);
  }
}
