import { expect, test } from "vitest";
import { BECAUSE_NOBODY_TO_ASK, BECAUSE_NOTHING_MATCHES } from "../../src/policy/evaluate.ts";
import type { PolicyInput, Verdict } from "../../src/policy/policy.ts";
import { at, input, loadRules, NO_PREVIEW } from "../support/policy.ts";

const DEMANDING = "defaults: { approve: { by: [sre, security], quorum: 2, assurance: A3, within: 30m } }";

const ask = (rules: string, changes: Partial<PolicyInput> = {}, head?: string): Verdict =>
  loadRules(rules, head).evaluate(input(changes));
const ids = (verdict: Verdict): string =>
  `${verdict.verdict} ${verdict.rules.map((rule) => rule.id).join(" ")}`.trim();
const clauses = (verdict: Verdict): string[] =>
  (verdict.requirement?.clauses ?? []).map(
    ({ from, count, assurance }) => `${count} ${from.join("+")} ${assurance}`,
  );

test("the strictest matching rule wins, and order never matters", () => {
  const allow = "- { id: a, match: { tool: deploy_service }, verdict: allow }";
  const hold = "- { id: h, match: { tool: 'deploy_*' }, verdict: hold, because: look first }";
  const deny = "- { id: d, match: { environment: demo }, verdict: deny, because: never }";
  expect(ids(ask(`${allow}`))).toBe("allow a");
  expect(ids(ask(`${allow}\n${hold}`))).toBe("hold h");
  expect(ids(ask(`${deny}\n${hold}\n${allow}`))).toBe("deny d");
  expect(ids(ask(`${allow}\n${hold}\n${deny}`))).toBe("deny d");
  expect(ask(`${allow}\n${hold}`).because).toEqual(["look first"]);
  expect(ask(`${deny}\n${hold}`).requirement).toBeNull();
});

test("nothing matching means hold with the default, and deny where there is none", () => {
  const held = ask("- { id: a, match: { tool: other }, verdict: allow }");
  expect(ids(held)).toBe("hold");
  expect(clauses(held)).toEqual(["1 sre A2"]);
  expect(held.because).toEqual([BECAUSE_NOTHING_MATCHES]);
  const denied = ask("- { id: a, match: { tool: other }, verdict: allow }", {}, "");
  expect(ids(denied)).toBe("deny");
  expect(denied.because).toEqual([BECAUSE_NOBODY_TO_ASK]);
});

test("several holds are several clauses, with the shortest times and the stricter execute", () => {
  const verdict = ask(`
- { id: one, verdict: hold, approve: { by: [sre], quorum: 2, within: 2h, execute_within: 5m } }
- { id: two, verdict: hold, approve: { by: [security], within: 1h, execute: when_attached } }
- { id: same-as-two, verdict: hold, approve: { by: security, within: 3h } }
- { id: implied, verdict: hold, approve: { by: [sre, security], within: 4h } }
`);
  expect(clauses(verdict)).toEqual(["1 security A2", "2 sre A2"]);
  expect(verdict.requirement).toMatchObject({
    withinMs: 3_600_000,
    executeWithinMs: 300_000,
    execute: "when_attached",
    solo: null,
    registration: null,
  });
  expect(verdict.rules.map((rule) => rule.id)).toEqual(["one", "two", "same-as-two", "implied"]);
});

test("what a hold leaves out comes from the default", () => {
  const verdict = ask("- { id: h, verdict: hold, approve: { quorum: 2 } }");
  expect(clauses(verdict)).toEqual(["2 sre A2"]);
  expect(verdict.requirement).toMatchObject({
    withinMs: 1_800_000,
    executeWithinMs: 600_000,
    execute: "on_approval",
  });
});

test("the requirement's digest moves with the demand and the registration, and with nothing else", () => {
  const rule = "- { id: h, verdict: hold, approve: { by: sre } }";
  const digest = (rules: string, changes: Partial<PolicyInput> = {}): string | null =>
    ask(rules, changes).requirementDigest;
  expect(digest(rule)).toMatch(/^sha256:/);
  expect(digest(rule)).toBe(
    digest(rule.replace("id: h", "id: other") + "\n- { id: z, match: { tool: q }, verdict: deny }"),
  );
  expect(digest(rule)).not.toBe(digest(rule.replace("by: sre", "by: security")));
  const registration = `sha256:${"0".repeat(64)}` as const;
  expect(digest(rule)).not.toBe(digest(rule, { registration }));
  expect(ask(rule, { registration }).requirement?.registration).toBe(registration);
});

test("with several targets an allow needs them all, a deny or hold any of them", () => {
  const allow = "- { id: a, match: { environment: demo }, verdict: allow }";
  const deny = "- { id: d, match: { environment: prod }, verdict: deny }";
  expect(ids(ask(allow, { targets: at("demo", "demo") }))).toBe("allow a");
  expect(ids(ask(allow, { targets: at("demo", "prod") }))).toBe("hold");
  expect(ids(ask(deny, { targets: at("demo", "prod") }))).toBe("deny d");
  const both = "- { id: d, match: { environment: prod, target: s0 }, verdict: deny }";
  expect(ids(ask(both, { targets: at("prod", "demo") }))).toBe("deny d");
  // Not s0 in one target and prod in another: the rule speaks about one target.
  expect(ids(ask(both, { targets: at("demo", "prod") }))).toBe("hold");
  const when = `- { id: d, when: 'environment == "prod" && target.id == "s0"', verdict: deny }`;
  expect(ids(ask(when, { targets: at("prod", "demo") }))).toBe("deny d");
  expect(ids(ask(when, { targets: at("demo", "prod") }))).toBe("hold");
});

test("a call without a target satisfies no allow that names one, and every deny and hold that does", () => {
  for (const targets of [[], [{ kind: "", id: "", environment: "" }]]) {
    expect(ids(ask("- { id: a, match: { environment: demo }, verdict: allow }", { targets }))).toBe("hold");
    expect(ids(ask("- { id: a, match: { environment: '*' }, verdict: allow }", { targets }))).toBe("hold");
    expect(ids(ask("- { id: a, verdict: allow }", { targets }))).toBe("allow a");
    const denied = ask("- { id: d, match: { environment: prod, target_kind: db }, verdict: deny }", {
      targets,
    });
    expect(ids(denied)).toBe("deny d");
    expect(denied.rules[0]?.error).toMatchObject({ code: "no_target" });
    const condition = `- { id: a, when: 'environment != "prod"', verdict: allow }`;
    expect(ids(ask(condition, { targets }))).toBe("hold");
    expect(ids(ask(condition.replace("allow", "deny"), { targets }))).toBe("deny a");
  }
  // Though not where another part of the rule rules it out.
  expect(
    ids(
      ask("- { id: d, match: { environment: prod }, when: args.ref == 'x', verdict: deny }", { targets: [] }),
    ),
  ).toBe("hold");
});

test("an error in a condition makes a deny or hold match and an allow not, and says where", () => {
  const when = "match: { tool: 'deploy_*' }, when: 'args.size > 10'";
  expect(ids(ask(`- { id: a, ${when}, verdict: allow }`))).toBe("hold");
  const denied = ask(`- { id: d, ${when}, verdict: deny }`);
  expect(ids(denied)).toBe("deny d");
  expect(denied.rules[0]?.error).toEqual({
    code: "no_such_key",
    message: "args.size is missing",
    line: 12,
    column: 55,
  });
  expect(ask(`- { id: h, ${when}, verdict: hold }`).rules[0]?.error?.code).toBe("no_such_key");
  const kinds = ask(`- { id: d, ${when}, verdict: deny }`, { args: { size: "secret-value" } });
  expect(kinds.rules[0]?.error?.code).toBe("no_such_overload");
  expect(JSON.stringify(kinds)).not.toContain("secret-value");
});

test("a missing field is decided by has(), and by && and || where the rest decides", () => {
  const ask1 = (when: string, verdict = "deny"): string =>
    ids(ask(`- { id: r, match: { tool: '*' }, when: '${when}', verdict: ${verdict} }`));
  expect(ask1("has(args.size) && args.size > 10")).toBe("hold");
  expect(ask1("!has(args.size)")).toBe("deny r");
  expect(ask1('args.ref == "nope" && args.size > 10')).toBe("hold");
  expect(ask1('args.size > 10 && args.ref == "nope"')).toBe("hold");
  expect(ask1('args.ref == "main" || args.size > 10', "allow")).toBe("allow r");
  expect(ask1("has(args.a.b)")).toBe("deny r");
});

test("an unsure hold is asked besides the default, never instead of it", () => {
  const byError =
    "- { id: h, match: { tool: '*' }, when: args.size > 10, verdict: hold, approve: { by: sre, quorum: 1, assurance: A2 } }";
  expect(clauses(ask(byError, {}, DEMANDING))).toEqual(["1 sre A2", "2 security+sre A3"]);
  expect(clauses(ask(byError, { args: { size: 11 } }, DEMANDING))).toEqual(["1 sre A2"]);
  const byClaim =
    "- { id: h, when: claims.reasoning, verdict: hold, approve: { by: sre, quorum: 1, assurance: A2 } }";
  const claims = { justification: null, reasoning: true, client: null };
  expect(clauses(ask(byClaim, { claims }, DEMANDING))).toEqual(["1 sre A2", "2 security+sre A3"]);
  expect(ids(ask(byClaim, { claims }, ""))).toBe("deny");
  const allowed = `${byClaim}\n- { id: a, match: { tool: deploy_service }, verdict: allow }`;
  expect(clauses(ask(allowed, { claims }, DEMANDING))).toEqual(["1 sre A2"]);
});

test("an absent claim counts as the worst (P2)", () => {
  const rule = "- { id: d, when: 'size(claims.justification) < 20', verdict: deny }";
  const say = (justification: string | null) => ({
    claims: { justification, reasoning: false, client: null },
  });
  expect(ids(ask(rule, say(null)))).toBe("deny d");
  expect(ids(ask(rule, say("short")))).toBe("deny d");
  expect(ids(ask(rule, say("rolls back the change of last night")))).toBe("hold");
});

test("match names tools, agents, principals, effects, kinds and targets, by name, glob or list", () => {
  const one = (match: string, changes: Partial<PolicyInput> = {}): string =>
    ids(ask(`- { id: r, match: ${match}, verdict: deny }`, changes));
  expect(one("{ tool: [x, 'dep*'] }")).toBe("deny r");
  expect(one("{ tool: '*_service' }")).toBe("deny r");
  expect(one("{ tool: 'deploy?service' }")).toBe("deny r");
  expect(one("{ tool: 'deploy' }")).toBe("hold");
  expect(one("{ agent: coder }")).toBe("deny r");
  expect(one("{ agent: coder }", { agent: "other" })).toBe("hold");
  expect(one("{ principal: ana }")).toBe("deny r");
  expect(one("{ principal: ben }")).toBe("hold");
  expect(one("{ effect: [write, destructive] }")).toBe("deny r");
  expect(one("{ effect: privilege }")).toBe("hold");
  expect(one("{ target_kind: service, target: 'w*' }")).toBe("deny r");
  expect(one("{ target: db }")).toBe("hold");
});

test("a rule that needs the preview is open in the first pass, and only a deny that is sure ends the call", () => {
  const late = `
- { id: a, match: { tool: deploy_service }, verdict: allow }
- { id: h, match: { tool: deploy_service }, when: preview.counts.files_removed > 0, verdict: hold }
`;
  const first = ask(late, { preview: null });
  expect([first.verdict, first.open]).toEqual(["allow", true]);
  const counts = (files_removed: number) => ({ preview: { ...NO_PREVIEW, counts: { files_removed } } });
  expect(ids(ask(late, counts(1)))).toBe("hold h");
  expect(ids(ask(late, counts(0)))).toBe("allow a");
  expect(ask(late, counts(0)).open).toBe(false);
  expect(ids(ask(late, { preview: NO_PREVIEW }))).toBe("hold h");
  const denied = ask(`${late}- { id: d, verdict: deny }`, { preview: null });
  expect([denied.verdict, denied.open]).toEqual(["deny", false]);
});

test("in the first pass a late rule is settled where the rest of its condition settles it", () => {
  const rule = (when: string, verdict = "deny"): string =>
    `- { id: a, match: { tool: deploy_service }, verdict: allow }\n- { id: r, when: '${when}', verdict: ${verdict} }`;
  const first = (rules: string): string => {
    const verdict = ask(rules, { preview: null });
    return `${ids(verdict)}${verdict.open ? " open" : ""}`;
  };
  expect(first(rule('args.ref == "x" && preview.counts.n > 0'))).toBe("allow a");
  expect(first(rule('args.ref == "main" || preview.counts.n > 0'))).toBe("deny r");
  expect(first(rule('args.ref == "main" && preview.counts.n > 0'))).toBe("allow a open");
  expect(first(rule("has(preview.facts.x)"))).toBe("allow a open");
  expect(first(rule('["a"].exists(x, x == preview.fidelity)'))).toBe("allow a open");
  // A late allow can only matter where the default would decide.
  expect(first(rule("preview.complete", "allow"))).toBe("allow a");
  expect(first("- { id: r, when: preview.complete, verdict: allow }")).toBe("hold open");
});

test("a shadow rule is reported and changes nothing", () => {
  const rules = `
- { id: a, match: { tool: deploy_service }, verdict: allow }
- { id: s, mode: shadow, match: { tool: deploy_service }, verdict: deny, because: one day }
- { id: t, mode: shadow, match: { tool: '*' }, when: args.nope, verdict: hold }
- { id: u, mode: shadow, match: { tool: other }, verdict: deny }
`;
  const verdict = ask(rules);
  expect(ids(verdict)).toBe("allow a");
  expect(verdict.because).toEqual([]);
  expect(verdict.shadow.map((rule) => rule.id)).toEqual(["s", "t"]);
  expect(ids(ask("- { id: s, mode: shadow, verdict: allow, match: { tool: deploy_service } }"))).toBe("hold");
});

test("masks of all matching rules accumulate, also of an allow that could not be read", () => {
  const head =
    "defaults: { approve: { by: sre } }\nmasks: { pii: { keys: [email] }, keys: { keys: [token] } }";
  const rules = `
- { id: a, match: { tool: deploy_service }, verdict: allow, mask: pii }
- { id: b, match: { tool: '*' }, when: args.nope == 1, verdict: allow, mask: [keys] }
`;
  expect(ask(rules, {}, head).masks).toEqual(["keys", "pii"]);
  const held = ask(`${rules}- { id: h, verdict: hold }`, {}, head);
  expect(held.requirement?.masks).toEqual(["keys", "pii"]);
  const perTarget =
    "- { id: a, match: { environment: prod }, verdict: allow, mask: pii }\n- { id: b, match: { tool: deploy_service }, verdict: allow }";
  expect(ask(perTarget, { targets: at("demo", "prod") }, head).masks).toEqual(["pii"]);
  const late =
    "- { id: a, match: { tool: deploy_service }, verdict: allow }\n- { id: b, when: preview.complete, verdict: allow, mask: pii }";
  expect(ask(late, { preview: null }, head).open).toBe(true);
});

test("solo stands in the requirement where one person is asked, and that person is asked (C6)", () => {
  const head = "solo: chi\ndefaults: { approve: { by: sre } }";
  expect(ask("- { id: x, match: { tool: q }, verdict: deny }", {}, head).requirement?.solo).toBe("chi");
  expect(ask("- { id: h, verdict: hold, approve: { quorum: 2 } }", {}, head).requirement?.solo).toBeNull();
  expect(ask("- { id: h, verdict: hold, approve: { by: security } }", {}, head).requirement?.solo).toBeNull();
  expect(
    ask("- { id: h, verdict: hold }\n- { id: i, verdict: hold, approve: { by: security } }", {}, head)
      .requirement?.solo,
  ).toBeNull();
});
