import fc from "fast-check";
import { expect, test } from "vitest";
import { diffPolicies } from "../../src/policy/diff.ts";
import { anyInput, HEAD, ruleText, secondPass, withIds } from "../support/policy-arbitrary.ts";
import { expectNoLooser, policyOf } from "../support/policy-strictness.ts";

// Whoever adopts a policy reads the lines that say "weaker". So whatever has none may not let more through, nor ask
// fewer people, for any call at all.

const heads = [
  HEAD,
  HEAD.replace("quorum: 2", "quorum: 1"),
  HEAD.replace("quorum: 2, assurance: A2", "quorum: 1, assurance: A3"),
  HEAD.replace("by: [sre]", "by: [sre, security]"),
  HEAD.replace("30m", "1h"),
  HEAD.replace(/defaults:.*/, ""),
];
const withOwnApprove = fc.constantFrom(
  { by: "sre", quorum: 1, assurance: "A2" },
  { by: ["sre", "security"], quorum: 2, assurance: "A3" },
);

const change = fc.record({
  rules: fc.array(fc.tuple(ruleText(), withOwnApprove, fc.option(ruleText(), { freq: 3 }), fc.boolean()), {
    maxLength: 4,
  }),
  added: fc.array(ruleText(), { maxLength: 1 }),
  heads: fc.tuple(fc.constantFrom(...heads), fc.constantFrom(...heads)),
});

test("a change in which nothing is called weaker is not weaker for any call", () => {
  let looked = 0;
  fc.assert(
    fc.property(
      change,
      fc.array(anyInput, { minLength: 8, maxLength: 8 }),
      ({ rules, added, heads: [one, other] }, inputs) => {
        // Every hold has its own approve, so that a policy without a default loads.
        const asking = <R extends { verdict: string; approve?: object }>(rule: R, approve: object): R =>
          rule.verdict === "hold" && !rule.approve ? { ...rule, approve } : rule;
        const before = withIds(rules.map(([rule, approve]) => asking(rule, approve)));
        const after = before.flatMap((rule, i) => {
          const [, approve, replaced, isKept] = rules[i]!;
          if (replaced) return [asking({ ...replaced, id: rule.id }, approve)];
          return isKept ? [rule] : [];
        });
        const extra = withIds(
          added.map((rule) => asking(rule, { by: "sre", quorum: 2, assurance: "A2" })),
          "extra",
        );
        const [a, b] = [policyOf(before, one), policyOf([...after, ...extra], other)];
        if (diffPolicies(a, b).some(({ weaker }) => weaker)) return;
        looked += 1;
        for (const input of inputs)
          expectNoLooser(a.evaluate(secondPass(input)), b.evaluate(secondPass(input)));
      },
    ),
    { numRuns: 1_000 },
  );
  // Half of nothing would prove nothing.
  expect(looked).toBeGreaterThan(40);
});
