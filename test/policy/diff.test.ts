import fc from "fast-check";
import { expect, test } from "vitest";
import { diffPolicies } from "../../src/policy/diff.ts";
import { DEFAULTS, fingerprint, load, policyText } from "../support/policy.ts";
import { HEAD, rulesYaml, ruleText, withIds } from "../support/policy-arbitrary.ts";

const lines = (before: string, after: string): string[] =>
  diffPolicies(load(before, null), load(after, null)).map(
    ({ text, weaker }) => `${weaker ? "weaker" : "      "} ${text}`,
  );
const rules = (before: string, after: string): string[] => lines(policyText(before), policyText(after));
const HOLD =
  "- { id: h, match: { environment: prod }, verdict: hold, approve: { by: [sre, security], quorum: 2, assurance: A3, within: 1h } }";

test("says field by field what changed in a rule, and what became weaker", () => {
  expect(rules(HOLD, HOLD.replace("quorum: 2", "quorum: 1").replace("A3", "A2").replace("1h", "2h"))).toEqual(
    ["weaker rule h: quorum 2 -> 1", "weaker rule h: assurance A3 -> A2", "weaker rule h: within 1h -> 2h"],
  );
});

test("knows which direction is weaker", () => {
  const changed = (from: string, to: string): string => rules(HOLD, HOLD.replace(from, to)).join("; ");
  expect(changed("assurance: A3", "assurance: A2, execute: when_attached")).toBe(
    "weaker rule h: assurance A3 -> A2;        rule h: execute on_approval -> when_attached",
  );
  const wide = HOLD.replace("quorum: 2", "quorum: 1");
  expect(rules(wide, wide.replace("[sre, security]", "[sre]"))).toEqual([
    "       rule h: by security removed",
  ]);
  expect(rules(wide.replace("[sre, security]", "[sre]"), wide)).toEqual(["weaker rule h: by security added"]);
  // A wider hold reaches calls that had the default; security alone could answer it, which the default did not allow.
  const widen = (text: string): string[] =>
    rules(text, text.replace("environment: prod", "environment: [prod, demo]"));
  expect(widen(HOLD)).toEqual(["weaker rule h: match.environment prod -> demo, prod"]);
  expect(widen(HOLD.replace("[sre, security]", "sre").replace("A3", "A2").replace("1h", "5m"))).toEqual([
    "       rule h: match.environment prod -> demo, prod",
  ]);
  expect(changed("environment: prod", "environment: prod, agent: coder")).toBe(
    "weaker rule h: match.agent any -> coder",
  );
  expect(changed("verdict: hold", "when: args.x, verdict: hold")).toBe(
    "weaker rule h: when none -> `args.x`",
  );
  expect(changed("- { id: h", "- { id: h, mode: shadow")).toBe("weaker rule h: enforce -> shadow");
  expect(changed("verdict: hold", "because: new, verdict: hold")).toBe(
    '       rule h: because none -> "new"',
  );
  const allow = "- { id: a, match: { tool: x, environment: 'p*' }, when: args.x, verdict: allow }";
  const loosened = (from: string, to: string): string => rules(allow, allow.replace(from, to)).join("; ");
  expect(loosened("environment: 'p*'", "environment: prod")).toBe(
    "       rule a: match.environment p* -> prod",
  );
  expect(loosened("environment: 'p*'", "environment: '*'")).toBe("weaker rule a: match.environment p* -> *");
  expect(loosened(" when: args.x,", "")).toBe("weaker rule a: when `args.x` -> none");
  expect(loosened("args.x", "args.y")).toBe("weaker rule a: when `args.x` -> `args.y`");
  expect(loosened("- { id: a", "- { id: a, mode: shadow")).toBe("       rule a: enforce -> shadow");
  expect(loosened("verdict: allow", "verdict: deny")).toBe("       rule a: verdict allow -> deny");
  expect(rules(allow.replace("allow", "deny"), allow)).toEqual(["weaker rule a: verdict deny -> allow"]);
});

test("says of rules that come and go what they were", () => {
  const allow = "- { id: a, match: { tool: x }, verdict: allow }";
  const deny = "- { id: d, match: { tool: x }, verdict: deny }";
  expect(rules(HOLD, `${HOLD}\n${allow}`)).toEqual(["weaker rule a: added, allow"]);
  expect(rules(`${HOLD}\n${allow}`, HOLD)).toEqual(["       rule a: removed, was allow"]);
  expect(rules(HOLD, `${HOLD}\n${deny}`)).toEqual(["       rule d: added, deny"]);
  expect(rules(`${HOLD}\n${deny}`, HOLD)).toEqual(["weaker rule d: removed, was deny"]);
  expect(rules(`${deny}\n${HOLD}`, deny)).toEqual([
    "weaker rule h: removed, was hold for 2 of security, sre with A3",
  ]);
  // A hold stands in for the default, so one that asks for less than it opens a way round it.
  const strict = "defaults: { approve: { by: [sre, security], quorum: 2, assurance: A3 } }";
  const weak =
    "- { id: w, match: { tool: x }, verdict: hold, approve: { by: sre, quorum: 1, assurance: A2 } }";
  expect(lines(policyText(deny, strict), policyText(`${deny}\n${weak}`, strict))).toEqual([
    "weaker rule w: added, hold for 1 of sre with A2",
  ]);
  expect(lines(policyText(deny), policyText(`${deny}\n${weak}`))).toEqual([
    "       rule w: added, hold for 1 of sre with A2",
  ]);
});

test("says what changed about people, groups, agents and adoption", () => {
  const base = policyText("- { id: d, verdict: deny }");
  const change = (from: string, to: string): string[] => {
    if (!base.includes(from)) throw new Error(`no ${from}`);
    return lines(base, base.replace(from, to));
  };
  expect(change("dee: { name: Dee", "eve: { name: Eve }\n  dee: { name: Dee")).toEqual([
    "weaker person eve: added",
  ]);
  expect(change("chi: { name: Chi", "chi: { name: Chi, disabled: true")).toEqual([
    "       person chi: enabled -> disabled",
  ]);
  expect(change("chi: { name: Chi", 'chi: { name: Chi, os: ["7@host"]')).toEqual([
    "weaker person chi os: 7@host added",
  ]);
  expect(
    change(`"${fingerprint("c")}"`, `{ fingerprint: "${fingerprint("c")}", user_verified: true }`),
  ).toEqual([
    `weaker person chi ssh: ${fingerprint("c")} (user_verified) added`,
    `       person chi ssh: ${fingerprint("c")} removed`,
  ]);
  expect(change("security: [dee]", "security: [dee, chi]")).toEqual(["weaker group security: chi added"]);
  expect(change("owners: [ana]", "owners: [ana, chi]")).toEqual(["       owners of agent coder: chi added"]);
  expect(change("owners: [ana]", "owners: [chi]")).toEqual([
    "       owners of agent coder: chi added",
    "weaker owners of agent coder: ana removed",
  ]);
  expect(change("agents: {", "agents: { helper: { owners: [ana] },")).toEqual(["weaker agent helper: added"]);
  expect(change("version: 1", "version: 1\nadopt: on_save")).toEqual(["weaker adopt: signed -> on_save"]);
  expect(change("version: 1", "version: 1\nsolo: ana")).toEqual(["weaker solo: none -> ana"]);
  expect(change("version: 1", "version: 1\nservices: { ci: {} }")).toEqual(["weaker service ci: added"]);
  expect(change("quorum: 2, assurance: A3", "quorum: 1, assurance: A3")).toEqual([
    "weaker policy_change: quorum 2 -> 1",
  ]);
  expect(change(DEFAULTS, DEFAULTS.replace("quorum: 1", "quorum: 2"))).toEqual([
    "       defaults.approve: quorum 1 -> 2",
  ]);
  expect(change(DEFAULTS, "")).toEqual(["       defaults.approve: removed"]);
  expect(lines(base.replace(DEFAULTS, ""), base)).toEqual([
    "weaker defaults.approve: added, 1 of sre with A2",
  ]);
  expect(change("version: 1", "version: 1\nmasks: { pii: { keys: [email] } }")).toEqual([
    "       mask pii: email added",
  ]);
  expect(change("agents: { coder: {", "agents: { coder: { description: writes code,")).toEqual([
    "       descriptions or empty groups changed",
  ]);
});

test("two files that mean the same have no difference, and no two that differ go unsaid", () => {
  const texts = fc.array(ruleText(), { minLength: 1, maxLength: 3 });
  const policy = (all: Parameters<typeof withIds>[0]) =>
    load(
      policyText(rulesYaml(withIds(all)), HEAD).replace("agents: {", "agents: { helper: { owners: [ana] },"),
      null,
    );
  fc.assert(
    fc.property(texts, texts, (one, other) => {
      const [a, b] = [policy(one), policy(other)];
      expect(diffPolicies(a, a)).toEqual([]);
      expect(diffPolicies(a, b).length === 0).toBe(a.revision === b.revision);
    }),
    { numRuns: 200 },
  );
});
