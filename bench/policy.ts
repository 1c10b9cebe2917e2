import { createConditionEngine } from "../src/policy/cel.ts";
import { createEvaluator } from "../src/policy/evaluate.ts";
import { loadPolicy } from "../src/policy/load.ts";
import type { Policy, PolicyInput } from "../src/policy/policy.ts";
import type { PolicyDocument } from "../src/policy/resolve.ts";
import { compileRule } from "../src/policy/rule.ts";

// What one verdict costs, at 10 to 10,000 rules, beside a plain scan of the same rules.
//
// The mix is the one of a large organisation: 70 % of the rules name one tool, 15 % a list of three, 10 % a prefix and
// 5 % all tools of an environment and agent; half have a condition. Calls go round all tools. Everything that is
// timed is asked of a loaded policy; loading is a row of its own.

export interface BenchRow {
  readonly name: string;
  /** Microseconds, median of batches; milliseconds where the name says so. */
  readonly ours: number;
  readonly reference: number | null;
  /** How many times faster than the reference. */
  readonly ratio: number | null;
  /** The most it may be; null where there is none. */
  readonly bar: number | null;
}

/** Microseconds a verdict may take at 10,000 rules. */
const BAR_US = 15;
const ENVIRONMENTS = ["demo", "staging", "prod", "qa", "lab"];
const SERVICES = ["s3", "iam", "ec2", "rds", "k8s", "git", "dns", "crm"];
const VERDICTS = ["allow", "deny", "hold"];

export async function benchPolicy(options: { readonly batches?: number } = {}): Promise<BenchRow[]> {
  const batches = options.batches ?? 60;
  const rows: BenchRow[] = [];
  for (const count of [10, 100, 1_000, 10_000]) {
    const text = policyOf(count);
    const started = performance.now();
    const policy = loaded(text);
    const loadMs = performance.now() - started;
    const inputs = callsFor(count);
    const ours = medianUs(batches, inputs, (input) => policy.evaluate(input));
    const reference = medianUs(Math.max(5, batches / 10), inputs.slice(0, 40), plainScan(policy));
    rows.push(
      row(
        `verdict at ${count} rules, µs (beside a plain scan)`,
        ours,
        reference,
        count === 10_000 ? BAR_US : null,
      ),
    );
    rows.push(row(`load ${count} rules, ms`, loadMs, null, null));
    await Promise.resolve();
  }
  return rows;
}

const row = (name: string, ours: number, reference: number | null, bar: number | null): BenchRow => ({
  name,
  ours: round(ours),
  reference: reference === null ? null : round(reference),
  ratio: reference === null ? null : round(reference / ours),
  bar,
});
const round = (value: number): number => Math.round(value * 100) / 100;

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
  const verdict = VERDICTS[i % 3];
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

function medianUs(
  batches: number,
  inputs: readonly PolicyInput[],
  work: (input: PolicyInput) => unknown,
): number {
  for (const input of inputs) work(input);
  const times: number[] = [];
  for (let batch = 0; batch < batches; batch += 1) {
    const started = performance.now();
    for (const input of inputs) work(input);
    times.push(((performance.now() - started) * 1_000) / inputs.length);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
}
