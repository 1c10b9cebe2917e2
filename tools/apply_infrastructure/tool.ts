import { join } from "node:path";
import * as z from "zod";
import type { Json } from "../../src/base/canonical-json.ts";
import { defineTool, type Tool } from "../../src/tool.ts";
import { pruneMirror } from "../git/mirror-room.ts";
import { executeApply } from "../terraform/apply.ts";
import { guardNow } from "../terraform/guard.ts";
import { sweepOld } from "../terraform/marks.ts";
import { outputSchema, planSchema } from "../terraform/plan.ts";
import { checkInput, previewApply } from "../terraform/preview.ts";
import { reconcileApply } from "../terraform/reconcile.ts";
import { inputMembers, REFUSALS } from "../terraform/refusals.ts";
import { findWorkspace, terraformParts, type TerraformOptions } from "../terraform/workspace.ts";

export { checkTerraform, type TerraformFinding } from "../terraform/binary.ts";
export {
  workspaceRegistration,
  WORKSPACE_NAME,
  type WorkspaceRegistration,
} from "../terraform/registration.ts";
export type { TerraformOptions } from "../terraform/workspace.ts";

/**
 * `apply_infrastructure`: plans a commit of a registered workspace, and applies exactly that saved plan. The agent names
 * workspace, ref and declared variables; everything else is the operator's.
 */
export function createApplyInfrastructure(options: TerraformOptions): Tool {
  const parts = terraformParts(options);
  return defineTool({
    name: "apply_infrastructure",
    title: "Apply infrastructure",
    description:
      "Plans a branch, tag or commit of a registered terraform workspace, shows the plan to the people who decide, and " +
      "applies exactly that plan once they agree. Call plan_infrastructure first to see what it would do.",
    input: z.strictObject(inputMembers),
    output: outputSchema,
    plan: planSchema,
    effect: (input) => (input.destroy ? "destructive" : "write"),
    idempotent: false,
    refusals: REFUSALS,
    targets(input) {
      const { name, registration } = checkInput(parts, input);
      return [{ kind: "workspace", id: name, environment: registration.environment }];
    },
    registration: (input) => findWorkspace(parts, input.workspace).registration as Json,
    preview: (input, ctx) => previewApply(parts, input, ctx),
    guard: (plan, ctx) => guardNow(parts, plan, ctx),
    execute: (plan, ctx) => executeApply(parts, plan, ctx),
    reconcile: (plan, ctx) => reconcileApply(parts, plan, ctx),
  });
}

const MARK_LIFE_MS = 90 * 86_400_000;

/**
 * Gives back the room of plans that were made before `olderThan` (epoch ms). For the steward, now and then; plans live
 * for a day, so two days is safe. Marks of what was applied stay longer: an outcome may be asked for late.
 */
export async function sweepTerraform(
  options: TerraformOptions & { readonly olderThan: number; readonly signal: AbortSignal },
): Promise<void> {
  const { git, stateDir, workspaces } = terraformParts(options);
  if (Object.keys(workspaces).length === 0) return;
  await git.ensureUsable(options.signal);
  for (const name of Object.keys(workspaces)) {
    await pruneMirror(git, join(stateDir, "mirrors", `${name}.git`), options.olderThan, options.signal);
  }
  await sweepOld(join(stateDir, "rooms"), options.olderThan);
  await sweepOld(join(stateDir, "applies"), options.olderThan - MARK_LIFE_MS);
}
