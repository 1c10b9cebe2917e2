import { formatSourceError } from "../../src/base/yaml.ts";
import { loadPolicy } from "../../src/policy/load.ts";
import type { Policy, PolicyInput, PolicyPreview, ToolFacts } from "../../src/policy/policy.ts";

/** The one tool of this release, as far as a policy can see it. */
export const DEPLOY_SERVICE: ToolFacts = {
  name: "deploy_service",
  fixedEffect: "write",
  inputSchema: {
    type: "object",
    properties: { service: { type: "string" }, ref: { type: "string" } },
    required: ["service", "ref"],
    additionalProperties: false,
  },
};

/** A tool with every kind of argument, for conditions. */
export const EXPORT_DATA: ToolFacts = {
  name: "export_data",
  fixedEffect: "read",
  inputSchema: {
    type: "object",
    properties: {
      format: { type: "string", enum: ["csv", "json"] },
      rows: { type: "integer" },
      share: { type: "number" },
      force: { type: "boolean" },
      compress: { type: "boolean", default: false },
      columns: { type: "array", items: { type: "string" } },
      destination: {
        type: "object",
        properties: { bucket: { type: "string" }, region: { type: "string" } },
        required: ["bucket"],
        additionalProperties: false,
      },
      labels: { type: "object", additionalProperties: { type: "string" } },
    },
    required: ["format", "rows", "columns", "destination"],
    additionalProperties: false,
  },
};

export const TOOLS = [DEPLOY_SERVICE, EXPORT_DATA];

export const fingerprint = (letter: string): string => `SHA256:${letter.repeat(43)}`;

/** People, groups and agents that most tests need: ana and ben with verifying keys, chi without, dee in security. */
export const PEOPLE = `
people:
  ana: { name: Ana, ssh: [{ fingerprint: "${fingerprint("a")}", user_verified: true }] }
  ben: { name: Ben, ssh: [{ fingerprint: "${fingerprint("b")}", user_verified: true }] }
  chi: { name: Chi, ssh: ["${fingerprint("c")}"] }
  dee: { name: Dee, ssh: [{ fingerprint: "${fingerprint("d")}", user_verified: true }] }
groups: { sre: [ana, ben, chi], security: [dee] }
agents: { coder: { owners: [ana] } }
policy_change: { by: [security, sre], quorum: 2, assurance: A3 }
`.trim();

export const DEFAULTS = "defaults: { approve: { by: [sre], quorum: 1, assurance: A2, within: 30m } }";

/** A whole file around some rules. */
export const policyText = (rules: string, head = DEFAULTS): string =>
  `version: 1\n${PEOPLE}\n${head}\nrules:\n${rules.replace(/^\n/, "").replace(/^/gm, "  ")}\n`;

/** Loads, or fails the test with the errors as people see them. */
export function load(text: string, tools: readonly ToolFacts[] | null = TOOLS): Policy {
  const loaded = loadPolicy(text, { file: "policy.yaml", tools });
  if (!loaded.ok) throw new Error(`does not load:\n${loaded.error.map(formatSourceError).join("\n")}`);
  return loaded.value;
}

export const loadRules = (rules: string, head?: string): Policy => load(policyText(rules, head));

/** The errors of a file that must not load. */
export function loadErrors(text: string, tools: readonly ToolFacts[] | null = TOOLS): string[] {
  const loaded = loadPolicy(text, { file: "policy.yaml", tools });
  if (loaded.ok) throw new Error("it loads");
  return loaded.error.map(formatSourceError);
}

/** Errors of some rules, without the place. */
export const ruleErrors = (rules: string, head?: string): string[] =>
  loadErrors(policyText(rules, head)).map((line) => line.replace(/^policy\.yaml:\d+:\d+ /, ""));

export const NO_PREVIEW: PolicyPreview = {
  counts: {},
  facts: {},
  warnings: [],
  fidelity: "exact",
  complete: true,
};

/** A second-pass call of deploy_service to demo, with what differs. */
export const input = (changes: Partial<PolicyInput> = {}): PolicyInput => ({
  tool: "deploy_service",
  effect: "write",
  targets: [{ kind: "service", id: "web", environment: "demo" }],
  agent: "coder",
  principal: { kind: "person", id: "ana" },
  args: { service: "web", ref: "main" },
  preview: NO_PREVIEW,
  claims: { justification: null, reasoning: false, client: null },
  gate: { isolation: "service" },
  registration: null,
  ...changes,
});

export const at = (...environments: string[]): PolicyInput["targets"] =>
  environments.map((environment, i) => ({ kind: "service", id: `s${i}`, environment }));
