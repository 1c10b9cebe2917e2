import * as z from "zod";
import type { Json } from "../../src/base/canonical-json.ts";
import { defineTool, NoEffect, ToolRefusal, type Tool, type ToolContext } from "../../src/tool.ts";
import { openRegisteredMirror } from "../git/registered-mirror.ts";
import {
  findWorkspace,
  terraformParts,
  type TerraformOptions,
  type TerraformParts,
} from "../terraform/workspace.ts";
import { checkInput, planRef, type InfraInput, type Planned } from "../terraform/preview.ts";
import { inputMembers, REFUSALS } from "../terraform/refusals.ts";
import { countWords } from "../terraform/summary.ts";

const attribute = z.strictObject({
  path: z.string(),
  before: z.string().nullable().describe("as JSON; secrets are masked"),
  after: z.string().nullable(),
});
const change = z.strictObject({
  op: z.enum(["create", "update", "replace", "delete", "forget", "read"]),
  resource: z.string(),
  reason: z.string().nullable().describe("why it is replaced or deleted"),
  attributes: z.array(attribute),
});

const outputSchema = z.strictObject({
  workspace: z.string(),
  environment: z.string(),
  commit: z.string(),
  summary: z.string(),
  counts: z.record(z.string(), z.number().int()),
  changes: z.array(change),
  outputs: z.array(
    z.strictObject({ name: z.string(), before: z.string().nullable(), after: z.string().nullable() }),
  ),
  drift: z.array(change).describe("changed outside of terraform since it last ran"),
  provisioners: z.array(z.string()),
  failed_checks: z.array(z.string()),
  shortened: z.boolean().describe("true where not every change or attribute is listed"),
});

const inputSchema = z.strictObject(inputMembers);
const MAX_CHANGES = 200;
const MAX_ATTRIBUTES = 50;
const MAX_VALUE = 500;

/**
 * `plan_infrastructure`: what terraform would do with a commit of a registered workspace, masked. It locks nothing, saves
 * nothing, and uses the credentials for planning.
 */
export function createPlanInfrastructure(options: TerraformOptions): Tool {
  const parts = terraformParts(options);
  return defineTool({
    name: "plan_infrastructure",
    title: "Plan infrastructure",
    description:
      "Shows what terraform would create, change, replace or delete in a registered workspace for a branch, tag or " +
      "commit. Changes nothing. To apply it, call apply_infrastructure with the same arguments.",
    input: inputSchema,
    output: outputSchema,
    // For an allowed read the plan is its arguments; one that is held is the same, once people agree to it.
    plan: inputSchema,
    effect: "read",
    idempotent: true,
    refusals: REFUSALS,
    targets(input) {
      const { name, registration } = checkInput(parts, input);
      return [{ kind: "workspace", id: name, environment: registration.environment }];
    },
    registration: (input) => findWorkspace(parts, input.workspace).registration as Json,
    preview: (input) => {
      const { name, registration } = checkInput(parts, input);
      return Promise.resolve({
        plan: input,
        view: {
          summary:
            `plan ${name} (${registration.environment}) at ${input.ref}, and tell the agent, masked`.slice(
              0,
              300,
            ),
          verb: "PLAN",
          changes: [],
          counts: {},
          facts: { ref: input.ref, destroy_all: input.destroy },
          warnings: [],
          documents: [],
          complete: true,
          reversible: "nothing is changed",
          fidelity: "exact" as const,
        },
        guard: "read",
        expiresAt: null,
      });
    },
    guard: () => Promise.resolve("read"),
    execute: (plan, ctx) => tell(parts, plan, ctx),
  });
}

async function tell(
  parts: TerraformParts,
  input: InfraInput,
  ctx: ToolContext,
): Promise<{ readonly output: z.infer<typeof outputSchema> }> {
  const work = planRef(parts, input, ctx, async (planned) => {
    // Nothing of this will run, so its objects need not be held.
    await (await openRegisteredMirror(parts, planned.workspace, ctx)).release(planned.held);
    return { output: describe(planned) };
  });
  // It only reads, so whatever went wrong changed nothing.
  return work.catch((cause: unknown) => {
    if (!(cause instanceof ToolRefusal) || !Object.hasOwn(REFUSALS, cause.code)) {
      throw new NoEffect(ctx.signal.aborted ? "aborted" : "plan_failed", "the plan could not be made", {
        cause,
      });
    }
    const words = REFUSALS[cause.code as keyof typeof REFUSALS];
    // What is wrong with the configuration is what its author has to hear; the rest is the operator's.
    const detail = ABOUT_CONFIGURATION.has(cause.code) ? `: ${cause.detail}`.slice(0, 1_500) : "";
    throw new NoEffect(cause.code, `${words}${detail}`, { cause });
  });
}

const ABOUT_CONFIGURATION: ReadonlySet<string> = new Set([
  "external_refused",
  "files_refused",
  "module_refused",
  "provisioner_refused",
  "backend_refused",
  "configuration_unreadable",
  "state_in_repository",
  "variable_not_declared",
  "variable_refused",
  "variable_unknown",
  "directory_missing",
  "init_failed",
  "plan_failed",
  "provider_refused",
]);

function describe({ workspace, made, summary, commit }: Planned): z.infer<typeof outputSchema> {
  let shortened = false;
  const cut = <T>(list: readonly T[], at: number): readonly T[] => {
    if (list.length > at) shortened = true;
    return list.slice(0, at);
  };
  const clip = (text: string | null | undefined): string | null => {
    if (text === null || text === undefined) return null;
    if (text.length > MAX_VALUE) shortened = true;
    return text.length > MAX_VALUE ? `${text.slice(0, MAX_VALUE - 1)}…`.toWellFormed() : text;
  };
  const tellChanges = (changes: typeof summary.changes): z.infer<typeof change>[] =>
    cut(changes, MAX_CHANGES).map(({ op, address, reason, attributes }) => ({
      op,
      resource: address,
      reason,
      attributes: cut(attributes, MAX_ATTRIBUTES).map(({ path, before, after }) => ({
        path,
        before: clip(before),
        after: clip(after),
      })),
    }));
  const output = {
    workspace: workspace.name,
    environment: workspace.registration.environment,
    commit,
    summary: countWords(summary.counts),
    counts: { ...summary.counts },
    changes: tellChanges(summary.changes),
    outputs: cut(summary.outputs, MAX_CHANGES).map(({ name, before, after }) => ({
      name,
      before: clip(before),
      after: clip(after),
    })),
    drift: tellChanges(summary.drift),
    provisioners: made.snapshot.provisioners.map(({ type, where, file, line }) =>
      made.scrub(`${type} in ${where} (${file}:${line})`),
    ),
    failed_checks: [...summary.checksFailed],
  };
  return { ...output, shortened };
}
