import { expect, test } from "vitest";
import type { PolicyInput } from "../../src/policy/policy.ts";
import { at, input, loadRules } from "../support/policy.ts";

const why = (rules: string, changes: Partial<PolicyInput> = {}): string[] =>
  loadRules(rules)
    .explain(input(changes))
    .candidates.map(({ id, outcome, why: reason }) => `${id} ${outcome}: ${reason}`);

test("says of every rule that names the tool why it matched or did not", () => {
  expect(
    why(`
- { id: other, match: { tool: export_data }, verdict: deny }
- { id: prod, match: { tool: deploy_service, environment: prod }, verdict: deny }
- { id: agents, match: { agent: 'bot-*' }, verdict: deny }
- { id: effects, match: { effect: [read, privilege] }, verdict: deny }
- { id: who, match: { principal: ben }, verdict: deny }
- { id: kinds, match: { target_kind: db }, verdict: deny }
- { id: plain, match: { tool: 'deploy_*' }, verdict: hold }
- { id: ref, match: { tool: deploy_service }, when: 'args.ref == "main" && args.service != "db"', verdict: hold }
- { id: no, match: { tool: deploy_service }, when: args.ref.startsWith("v"), verdict: deny }
- { id: broken, match: { tool: '*' }, when: args.size > 1, verdict: allow }
- { id: closed, match: { tool: '*' }, when: args.size > 1, verdict: deny }
- { id: quiet, mode: shadow, match: { tool: deploy_service }, verdict: deny }
`),
  ).toEqual([
    'prod not_matched: match.environment: "demo" is not "prod"',
    'agents not_matched: match.agent: "coder" is not "bot-*"',
    'effects not_matched: match.effect: "write" is not "privilege" or "read"',
    'who not_matched: match.principal: "ana" is not "ben"',
    'kinds not_matched: match.target_kind: "service" is not "db"',
    "plain matched: its match block fits",
    'ref matched: when is true: args.ref == "main" && args.service != "db" (args.ref = "main", args.service = "web")',
    'no not_matched: when is false: args.ref.startsWith("v") (args.ref = "main")',
    "broken error: args.size is missing, so it does not match",
    "closed error: args.size is missing, so it matches",
    "quiet matched: its match block fits (shadow: changes nothing)",
  ]);
});

test("shows counts and facts of the preview, and what waits for it", () => {
  const rules = "- { id: late, when: 'preview.counts.files > 3 && environment == \"demo\"', verdict: hold }";
  expect(why(rules, { preview: null })).toEqual([
    'late open: when needs the preview: preview.counts.files > 3 && environment == "demo"',
  ]);
  const preview = {
    counts: { files: 4 },
    facts: {},
    warnings: [],
    fidelity: "exact",
    complete: true,
  } as const;
  expect(why(rules, { preview })).toEqual([
    'late matched: when is true: preview.counts.files > 3 && environment == "demo" (preview.counts.files = 4)',
  ]);
});

test("names the target that does not fit where there are several", () => {
  const rules =
    "- { id: a, match: { environment: demo }, verdict: allow }\n- { id: d, match: { environment: qa }, verdict: deny }";
  expect(why(rules, { targets: at("demo", "prod") })).toEqual([
    'a not_matched: match.environment: "prod" is not "demo" (target s1)',
    'd not_matched: match.environment: "demo" is not "qa" (target s0)',
  ]);
  expect(why(rules, { targets: [] })[1]).toBe("d error: the call names no such target, so it matches");
});

test("carries the verdict and the line of each rule", () => {
  const explanation = loadRules("- { id: a, verdict: deny }\n- { id: b, verdict: allow }").explain(input());
  expect(explanation.verdict.verdict).toBe("deny");
  expect(explanation.candidates.map(({ line }) => line)).toEqual([12, 13]);
});
