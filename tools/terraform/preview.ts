import type { ToolContext, ToolPreview } from "../../src/tool.ts";
import { ToolRefusal } from "../../src/tool.ts";
import { sha256 } from "../git/manifest.ts";
import { keepName } from "../git/mirror-room.ts";
import { openRegisteredMirror, readRef } from "../git/registered-mirror.ts";
import { makePlan, PLAN_FILE, type MadePlan } from "./make-plan.ts";
import { guardOf } from "./guard.ts";
import type { InfraPlan } from "./plan.ts";
import { summarise, type PlanSummary } from "./summary.ts";
import { checkVariables, type VariableValue } from "./variables.ts";
import { buildView } from "./view.ts";
import { findWorkspace, type TerraformParts, type Workspace } from "./workspace.ts";

/** Milliseconds a plan may wait; its objects are held for longer than that. */
export const PLAN_LIFE_MS = 24 * 3_600_000;
const MAX_TEXT_BYTES = 2 * 1024 * 1024;

export interface InfraInput {
  readonly workspace: string;
  readonly ref: string;
  readonly variables: Readonly<Record<string, VariableValue>>;
  readonly destroy: boolean;
}

/** Workspace and variables of a call, without touching anything. @throws ToolRefusal */
export function checkInput(parts: Pick<TerraformParts, "workspaces">, input: InfraInput): Workspace {
  const workspace = findWorkspace(parts, input.workspace);
  checkVariables(workspace.registration, input.variables);
  if (input.destroy && !workspace.registration.allow_destroy)
    throw new ToolRefusal("destroy_refused", input.workspace);
  return workspace;
}

export interface Planned {
  readonly workspace: Workspace;
  readonly made: MadePlan;
  readonly summary: PlanSummary;
  readonly ref: { readonly kind: "branch" | "tag" | "commit"; readonly name: string };
  readonly commit: string;
  readonly held: string;
}

/** Fetches the ref and plans it, and gives to `use` what came of it. @throws ToolRefusal */
export async function planRef<T>(
  parts: TerraformParts,
  input: InfraInput,
  ctx: ToolContext,
  use: (planned: Planned) => Promise<T>,
): Promise<T> {
  const workspace = checkInput(parts, input);
  const ref = readRef(input.ref);
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(ctx.requestId)) throw new TypeError("a request id is expected");
  const mirror = await openRegisteredMirror(parts, workspace, ctx);
  const held = keepName(ctx.requestId, ctx.now());
  try {
    ctx.progress("fetching the source");
    const resolved = await mirror.fetch(ref, held, ctx.signal);
    const commit = await mirror.commitOf(resolved.oid, ctx.signal);
    const made = await makePlan(
      parts,
      workspace,
      { commit, mirrorDir: mirror.dir, variables: input.variables, destroy: input.destroy },
      ctx,
    );
    return await use({ workspace, made, summary: summarise(made), ref: resolved, commit, held });
  } catch (error) {
    await mirror.release(held);
    throw error;
  }
}

/** The preview of `apply_infrastructure`: a saved plan, sealed, and what it says. @throws ToolRefusal */
export function previewApply(
  parts: TerraformParts,
  input: InfraInput,
  ctx: ToolContext,
): Promise<ToolPreview<InfraPlan>> {
  return planRef(parts, input, ctx, async ({ workspace, made, summary, ref, commit, held }) => {
    // Nobody is asked to approve nothing.
    if (!summary.applyable) throw new ToolRefusal("no_changes", commit);
    const { registration } = workspace;
    const { create, update, replace, delete: gone, forget } = summary.counts;
    const state = { lineage: made.snapshot.lineage, serial: made.snapshot.serial };
    const facts = {
      registration: workspace.digest,
      commit,
      manifest: made.manifest.sha256,
      variables: input.variables,
      destroy: input.destroy,
      state,
      world: registration.drift_check ? made.world : null,
    };
    const plan: InfraPlan = {
      v: 1,
      workspace: workspace.name,
      environment: registration.environment,
      requested: input.ref,
      ref: ref.name,
      commit,
      registration: workspace.digest,
      manifest: made.manifest.sha256,
      variables: input.variables,
      destroy: input.destroy,
      terraform: made.terraform,
      state,
      file: { sha256: sha256(made.bytes), bytes: made.bytes.length },
      counts: { create, update, replace, delete: gone, forget },
      held,
      guard: await guardOf(parts, facts),
    };
    return {
      plan,
      view: buildView({ plan, registration, refKind: ref.kind, made, summary, maxTextBytes: MAX_TEXT_BYTES }),
      files: [{ name: PLAN_FILE, type: "application/octet-stream", bytes: made.bytes }],
      guard: plan.guard,
      expiresAt: ctx.now() + PLAN_LIFE_MS,
    };
  });
}
