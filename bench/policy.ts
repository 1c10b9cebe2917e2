import { createConditionEngine } from "../src/policy/cel.ts";
import { createEvaluator } from "../src/policy/evaluate.ts";
import { loadPolicy } from "../src/policy/load.ts";
import type { Policy, PolicyInput } from "../src/policy/policy.ts";
import type { PolicyDocument } from "../src/policy/resolve.ts";
import { compileRule } from "../src/policy/rule.ts";
import type { Bench, BenchRow } from "./rows.ts";

// What one verdict costs, at 10 to 10,000 rules, beside a plain scan of the same rules.
//
// The mix is the one of a large organisation: 70 % of the rules name one tool, 15 % a list of three, 10 % a prefix and
// 5 % all tools of an environment and agent; half have a condition. Calls go round all tools.

/** Microseconds that a verdict may take at 10,000 rules. */
const BUDGET_US = 15;
/** How much of a plain scan's time a verdict may take, by number of rules. */
const BARS = { 10: 2, 100: 1, 1_000: 0.3, 10_000: 0.1 } as const;
const ENVIRONMENTS = ["demo", "staging", "prod", "qa", "lab"];
const SERVICES = ["s3", "iam", "ec2", "rds", "k8s", "git", "dns", "crm"];
const VERDICTS = ["allow", "deny", "hold"];

/** Rows of the policy bench. */
export const benchPolicy: Bench = async ({ quick }) => {
  const batches = quick ? 40 : 200;
  const rows: BenchRow[] = [];
  for (const count of [10, 100, 1_000, 10_000] as const) {
    const started = performance.now();
    const policy = loaded(policyOf(count));
    const loadMs = performance.now() - started;
    const inputs = callsFor(count);
    const ours = quartileUs(batches, inputs, (input) => policy.evaluate(input));
    const reference = quartileUs(batches / 10, inputs.slice(0, 40), plainScan(policy));
    const name = `verdict, ${count.toLocaleString("en")} rules (loaded in ${loadMs.toFixed(0)} ms)`;
    rows.push({
      name: `${name} / plain scan`,
      ours: us(ours),
      reference: us(reference),
      ratio: ours / reference,
      bar: `<= ${BARS[count]}`,
    });
    if (count === 10_000) {
      rows.push({
        name: `${name} / budget`,
        ours: us(ours),
        reference: us(BUDGET_US),
        ratio: ours / BUDGET_US,
        bar: "<= 1",
      });
    }
    // Let whatever shares the process have a turn between sizes.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return rows;
};

const us = (value: number): string => `${value.toFixed(2)} µs`;

function loaded(text: string): Policy {
  const result = loadPolicy(text, { file: "bench.yaml", tools: null });
  if (!result.ok) throw new Error(result.error.map((error) => error.message).join("\n"));
  return result.value;
}

const HEAD = `version: 1
people: { ana: { name: Ana, ssh: ["SHA256:${"a".repeat(43)}"] }, ben: { name: Ben, ssh: ["SHA256:${"b".repeat(43)}"] } }
groups: { sre: [ana, ben] }
agents: { a0: { owners: [ana] }, a1: { owners: [ana] }, a2: { owners: [ana] } }
defaults: { approve: { by: sre } }
rules:
`;

const toolCount = (count: number): number => Math.max(4, Math.round(count / 10));
const toolName = (i: number): string => `${SERVICES[i % SERVICES.length]}_op${i}`;

function ruleOf(i: number, count: number): string {
  const tools = toolCount(count);
  const kind = i % 20;
  const environment = ENVIRONMENTS[i % ENVIRONMENTS.length];
  const verdict = VERDICTS[Math.floor(i / 7) % 3];
  const when =
    i % 2 === 0 ? `, when: 'args.bucket.startsWith("prod-${i}") && !(args.bucket in ["a", "b"])'` : "";
  let match: string;
  if (kind < 14) match = `tool: ${toolName(i % tools)}, environment: ${environment}`;
  else if (kind < 17)
    match = `tool: [${[1, 2, 3].map((n) => toolName((i * n) % tools)).join(", ")}], environment: prod`;
  else if (kind < 19)
    match = `tool: '${SERVICES[i % SERVICES.length]}_op${i % 50}*', environment: ${environment}`;
  else match = `environment: ${environment}, agent: a${i % 3}`;
  return `  - { id: r${i}, match: { ${match} }${when}, verdict: ${verdict} }\n`;
}

const policyOf = (count: number): string =>
  HEAD + Array.from({ length: count }, (_, i) => ruleOf(i, count)).join("");

function callsFor(count: number): PolicyInput[] {
  const tools = toolCount(count);
  return Array.from({ length: 200 }, (_, i): PolicyInput => ({
    tool: toolName((i * 7) % tools),
    effect: "write",
    targets: [{ kind: "bucket", id: `b${i}`, environment: ENVIRONMENTS[i % ENVIRONMENTS.length]! }],
    agent: `a${i % 3}`,
    principal: { kind: "person", id: "ana" },
    args: { bucket: `prod-${i}-logs`, rows: i, columns: ["a", "b"], destination: { region: "eu" } },
    preview: { counts: { delete: i % 2 }, facts: {}, warnings: [], fidelity: "exact", complete: true },
    claims: { justification: null, reasoning: false, client: null },
    gate: { isolation: "service" },
    registration: null,
  }));
}

// The same rules and the same evaluation, every rule asked in turn: what the index saves.
function plainScan(policy: Policy): (input: PolicyInput) => unknown {
  const document = policy.document as unknown as PolicyDocument;
  const engine = createConditionEngine();
  const rules = Object.values(document.rules).map((rule, order) =>
    compileRule(
      rule,
      order,
      rule.when === null ? null : engine.compile(rule.when, []).condition,
      0,
      () => NOWHERE,
    ),
  );
  const orders = rules.map((rule) => rule.order);
  const evaluator = createEvaluator({
    rules,
    fallback: document.defaults.approve,
    groups: policy.groups,
    solo: null,
  });
  return (input) =>
    evaluator.evaluate(
      input,
      orders.filter((order) => rules[order]!.tests.tool?.(input.tool) !== false),
    );
}
const NOWHERE = { line: 0, column: 0 };

/** Microseconds per call: the lower quartile of all batches, as other jobs may share the machine. */
function quartileUs(
  batches: number,
  inputs: readonly PolicyInput[],
  work: (input: PolicyInput) => unknown,
): number {
  const times: number[] = [];
  // The first rounds warm up.
  for (let batch = -5; batch < batches; batch += 1) {
    const started = performance.now();
    for (const input of inputs) work(input);
    if (batch >= 0) times.push(((performance.now() - started) * 1_000) / inputs.length);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 4)]!;
}
