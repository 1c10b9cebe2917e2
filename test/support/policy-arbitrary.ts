import fc from "fast-check";
import type { PolicyInput } from "../../src/policy/policy.ts";
import { NO_PREVIEW } from "./policy.ts";

// Small worlds, so that rules and calls meet often.

const TOOLS = ["deploy_service", "db_read", "db_drop", "iam_grant"];
const ENVIRONMENTS = ["demo", "prod", "staging"];
const AGENTS = ["coder", "helper"];

/** A rule as it stands in the file, without its id. */
export interface RuleText {
  readonly match: Record<string, unknown>;
  readonly when?: string;
  readonly verdict: "allow" | "deny" | "hold";
  readonly approve?: Record<string, unknown>;
  readonly mode?: "shadow";
  readonly mask?: string;
}

const someOf = (values: readonly string[]): fc.Arbitrary<unknown> =>
  fc.oneof(fc.constantFrom(...values), fc.subarray([...values], { minLength: 1 }));

const match = fc.record(
  {
    tool: someOf([...TOOLS, "db_*", "*", "*_service", "d*"]),
    environment: someOf([...ENVIRONMENTS, "*", "p*"]),
    agent: someOf([...AGENTS, "*", "c*"]),
    principal: someOf(["ana", "ci"]),
    effect: fc.constantFrom("read", "write"),
    target: someOf(["s0", "s1", "s*"]),
  },
  { requiredKeys: [] },
);

const CONDITIONS = [
  'args.ref == "main"',
  "args.n > 1",
  "has(args.n) && args.n > 1",
  '!(args.ref in ["main", "dev"])',
  'environment == "prod"',
  'target.id != "s0"',
  "preview.counts.delete > 0",
  "!preview.complete",
  'args.tags.exists(t, t == "x")',
  'args.ref.glob("m*") || preview.facts.late',
  "targets.all(t, t.environment != 'prod')",
  "args.nowhere.at_all",
];
/** Not for allow rules (P2). */
const CLAIMS = ["claims.reasoning", "size(claims.justification) < 3"];

const approve = fc.constantFrom(
  { by: "sre", quorum: 1, assurance: "A2" },
  { by: "sre", quorum: 2, assurance: "A2", within: "1h" },
  { by: ["sre", "security"], quorum: 2, assurance: "A3" },
  { by: "security", quorum: 1, assurance: "A3", execute: "when_attached" },
  { by: "sre", quorum: 1, assurance: "A2", remind: "5m", escalate: [{ after: "10m", to: "security" }] },
  { by: "sre", quorum: 2, assurance: "A2", escalate: [{ after: "20m", to: ["security"] }] },
);

export const ruleText = (
  verdicts: readonly RuleText["verdict"][] = ["allow", "deny", "hold"],
): fc.Arbitrary<RuleText> =>
  fc.constantFrom(...verdicts).chain((verdict) => {
    const conditions = verdict === "allow" ? CONDITIONS : [...CONDITIONS, ...CLAIMS];
    return fc
      .record(
        {
          verdict: fc.constant(verdict),
          match,
          when: fc.constantFrom(...conditions),
          approve: verdict === "hold" ? approve : fc.constant({}),
          mode: fc.constant("shadow" as const),
          mask: fc.constantFrom("pii", "keys"),
        },
        { requiredKeys: ["verdict", "match"] },
      )
      .map(({ approve: asked, mode, ...rule }): RuleText => ({
        ...rule,
        ...(verdict === "hold" && asked ? { approve: asked } : {}),
        // One rule in eight or so is a shadow.
        ...(mode && rule.mask === "pii" ? { mode } : {}),
      }));
  });

const target = fc.record({
  kind: fc.constant("service"),
  id: fc.constantFrom("s0", "s1"),
  environment: fc.constantFrom(...ENVIRONMENTS, ""),
});

export const anyInput: fc.Arbitrary<PolicyInput> = fc.record({
  tool: fc.constantFrom(...TOOLS),
  effect: fc.constantFrom("read" as const, "write" as const),
  targets: fc.array(target, { maxLength: 3 }),
  agent: fc.constantFrom(...AGENTS, null),
  principal: fc.constantFrom(
    { kind: "person" as const, id: "ana" },
    { kind: "service" as const, id: "ci" },
    null,
  ),
  args: fc.record(
    {
      ref: fc.constantFrom("main", "dev", "x"),
      n: fc.constantFrom(0, 1, 2, "two"),
      tags: fc.array(fc.constantFrom("x", "y"), { maxLength: 2 }),
    },
    { requiredKeys: [] },
  ),
  preview: fc.option(
    fc.record({
      counts: fc.constantFrom({ delete: 0 }, { delete: 1 }, {}),
      facts: fc.constantFrom({ late: true }, { late: false }, {}),
      warnings: fc.constant([]),
      fidelity: fc.constant("exact" as const),
      complete: fc.boolean(),
    }),
  ),
  claims: fc.record({
    justification: fc.constantFrom("because it is needed", "x", null),
    reasoning: fc.boolean(),
    client: fc.constant(null),
  }),
  gate: fc.constant({ isolation: "service" as const }),
  registration: fc.constant(null),
}) as fc.Arbitrary<PolicyInput>;

export const secondPass = (input: PolicyInput): PolicyInput => ({
  ...input,
  preview: input.preview ?? NO_PREVIEW,
});

export const rulesYaml = (rules: readonly (RuleText & { readonly id: string })[]): string =>
  rules.map((rule) => `- ${JSON.stringify(rule)}`).join("\n");

/** Rules with ids r0, r1, …, or with those given. */
export const withIds = (rules: readonly RuleText[], prefix = "r"): (RuleText & { id: string })[] =>
  rules.map((rule, i) => ({ id: `${prefix}${i}`, ...rule }));

export const HEAD = `
services: { ci: {} }
masks: { pii: { keys: [email] }, keys: { keys: [token] } }
defaults: { approve: { by: [sre], quorum: 2, assurance: A2, within: 30m } }
`.trim();
