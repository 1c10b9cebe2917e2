import fc from "fast-check";
import { expect, test } from "vitest";
import type { PolicyInput, Verdict } from "../../src/policy/policy.ts";
import { anyInput, ruleText, secondPass, withIds, type RuleText } from "../support/policy-arbitrary.ts";
import { expectNoLooser, policyOf, RANK } from "../support/policy-strictness.ts";

const RUNS = { numRuns: 300 };
const rules = fc.array(ruleText(), { maxLength: 6 });

const outcome = (verdict: Verdict): object => ({
  ...verdict,
  rules: verdict.rules.map(({ id, error }) => `${id} ${error?.code}`).sort(),
  shadow: verdict.shadow.map((rule) => rule.id).sort(),
  because: [...verdict.because].sort(),
});

test("the order of rules never matters", () => {
  fc.assert(
    fc.property(
      rules.chain((texts) =>
        fc.tuple(
          fc.constant(withIds(texts)),
          fc.shuffledSubarray(withIds(texts), { minLength: texts.length }),
        ),
      ),
      anyInput,
      ([inOrder, shuffled], input) => {
        const [a, b] = [policyOf(inOrder), policyOf(shuffled)];
        expect(a.revision).toBe(b.revision);
        expect(outcome(a.evaluate(input))).toEqual(outcome(b.evaluate(input)));
      },
    ),
    RUNS,
  );
});

test("adding a deny never loosens", () => {
  fc.assert(
    fc.property(rules, ruleText(["deny"]), anyInput, (texts, extra, input) => {
      const before = policyOf(withIds(texts)).evaluate(secondPass(input));
      const after = policyOf([...withIds(texts), ...withIds([extra], "extra")]).evaluate(secondPass(input));
      expectNoLooser(before, after);
    }),
    RUNS,
  );
});

test("adding a hold never loosens, but for the default that it stands in for", () => {
  fc.assert(
    fc.property(rules, ruleText(["hold"]), anyInput, (texts, extra, input) => {
      const before = policyOf(withIds(texts)).evaluate(secondPass(input));
      const after = policyOf([...withIds(texts), ...withIds([extra], "extra")]).evaluate(secondPass(input));
      expect(RANK[after.verdict]).toBeGreaterThanOrEqual(RANK[before.verdict]);
      if (before.rules.length > 0 && before.rules.every((rule) => rule.error === null)) {
        const isSure = before.rules.every(
          (rule) => !/claims/.test(texts[Number(rule.id.slice(1))]!.when ?? ""),
        );
        if (isSure) expectNoLooser(before, after);
      }
    }),
    RUNS,
  );
});

test("adding an allow never changes a deny, and never a hold that a rule is sure of", () => {
  fc.assert(
    fc.property(rules, ruleText(["allow"]), anyInput, (texts, extra, input) => {
      const before = policyOf(withIds(texts)).evaluate(secondPass(input));
      const after = policyOf([...withIds(texts), ...withIds([extra], "extra")]).evaluate(secondPass(input));
      if (before.verdict === "deny") expect(after.verdict).toBe("deny");
      if (before.verdict === "hold" && before.rules.length > 0) expect(after.verdict).toBe("hold");
    }),
    RUNS,
  );
});

test("an allow is given only by rules whose conditions are true for every target", () => {
  fc.assert(
    fc.property(rules, anyInput, (texts, input) => {
      const verdict = policyOf(withIds(texts)).evaluate(input);
      if (verdict.verdict !== "allow") return;
      expect(verdict.rules.length).toBeGreaterThan(0);
      for (const rule of verdict.rules) {
        expect(rule).toMatchObject({ verdict: "allow", error: null });
        const alone = policyOf([{ ...texts[Number(rule.id.slice(1))]!, id: rule.id }]);
        for (const target of input.targets) {
          expect(alone.evaluate({ ...input, targets: [target] }).verdict).toBe("allow");
        }
      }
    }),
    RUNS,
  );
});

test("a call that leaves arguments or claims out is never freer than the same call with them", () => {
  fc.assert(
    fc.property(rules, anyInput, (texts, input) => {
      // `has` is there to treat them differently, so it may.
      const policy = policyOf(withIds(texts.filter((text) => !/has\(/.test(text.when ?? ""))));
      const silent: PolicyInput = { ...input, claims: { ...input.claims, justification: null }, args: {} };
      expectNoLooser(policy.evaluate(secondPass(input)), policy.evaluate(secondPass(silent)));
    }),
    RUNS,
  );
});

test("what agents claim never loosens what rules without claims would say (P2)", () => {
  fc.assert(
    fc.property(rules, anyInput, (texts, input) => {
      const all = withIds(texts);
      const plain = all.filter((text) => !/claims/.test(text.when ?? ""));
      expectNoLooser(policyOf(plain).evaluate(secondPass(input)), policyOf(all).evaluate(secondPass(input)));
    }),
    RUNS,
  );
});

test("a first pass that is not open is what the second pass says, whatever the preview", () => {
  fc.assert(
    fc.property(rules, anyInput, (texts, input) => {
      const policy = policyOf(withIds(texts));
      const first = policy.evaluate({ ...input, preview: null });
      const second = policy.evaluate(secondPass(input));
      if (first.open) return;
      expect(second.verdict).toBe(first.verdict);
      if (first.verdict === "deny") return;
      expect(second.requirementDigest).toBe(first.requirementDigest);
      expect(second.masks).toEqual(first.masks);
    }),
    RUNS,
  );
});

test("a shadow rule changes nothing but what is reported of it", () => {
  fc.assert(
    fc.property(rules, anyInput, (texts, input) => {
      const all = withIds(texts);
      const { shadow, ...verdict } = policyOf(all).evaluate(input);
      const { shadow: none, ...without } = policyOf(all.filter((text) => text.mode !== "shadow")).evaluate(
        input,
      );
      expect(none).toEqual([]);
      const places = (match: Verdict["rules"]): object[] =>
        match.map(({ error, ...rest }) => ({ ...rest, code: error?.code }));
      expect({ ...verdict, rules: places(verdict.rules) }).toEqual({
        ...without,
        rules: places(without.rules),
      });
      for (const { id } of shadow) expect(all.find((text) => text.id === id)?.mode).toBe("shadow");
    }),
    RUNS,
  );
});

test("somebody whom the policy does not know is never treated better than anybody it knows (C1)", () => {
  fc.assert(
    fc.property(rules, anyInput, (texts, input) => {
      const policy = policyOf(withIds(texts));
      const known = policy.evaluate(secondPass(input));
      const unknown = policy.evaluate({ ...secondPass(input), agent: null, principal: null });
      expect(RANK[unknown.verdict]).toBeGreaterThanOrEqual(RANK[known.verdict]);
      if (unknown.verdict === known.verdict) {
        expect(known.masks.filter((mask) => !unknown.masks.includes(mask))).toEqual([]);
      }
    }),
    RUNS,
  );
});

test("the index gives what a scan of all rules gives", () => {
  const many = fc.array(ruleText(), { minLength: 10, maxLength: 60 });
  fc.assert(
    fc.property(many, fc.array(anyInput, { minLength: 5, maxLength: 5 }), (texts, inputs) => {
      const policy = policyOf(withIds(texts));
      for (const input of inputs) {
        const indexed = policy.evaluate(input);
        const explained = policy.explain(input);
        expect(explained.verdict).toEqual(indexed);
        // Explain looks at every rule that names the tool, without the index's cells.
        const matched = explained.candidates.filter(
          ({ id, outcome, verdict }) =>
            texts[Number(id.slice(1))]!.mode !== "shadow" &&
            verdict === indexed.verdict &&
            (outcome === "matched" || (outcome === "error" && verdict !== "allow")),
        );
        if (indexed.rules.length > 0)
          expect(indexed.rules.map(({ id }) => id)).toEqual(matched.map(({ id }) => id));
        else if (!indexed.because.join().includes("nobody")) expect(matched).toEqual([]);
        expect(explained.candidates.length).toBe(namedBy(texts, input.tool));
      }
    }),
    { numRuns: 60 },
  );
});

function namedBy(texts: readonly RuleText[], tool: string): number {
  return texts.filter(({ match }) => {
    const patterns = [match["tool"] ?? "*"].flat() as string[];
    return patterns.some((pattern) =>
      new RegExp(`^${pattern.replaceAll("*", ".*").replaceAll("?", ".")}$`).test(tool),
    );
  }).length;
}
