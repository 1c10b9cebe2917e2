import { canonicalJson } from "../../src/base/canonical-json.ts";
import { ToolRefusal, type ToolContext } from "../../src/tool.ts";
import { openTerraform, initialise } from "./command.ts";
import { makePlan, readStateMeta, withCheckout } from "./make-plan.ts";
import { readVersion } from "./binary.ts";
import type { InfraPlan } from "./plan.ts";
import { sealManifest } from "../git/manifest.ts";
import { keepName } from "../git/mirror-room.ts";
import { openRegisteredMirror, readRef } from "../git/registered-mirror.ts";
import { createScrub } from "./scrub.ts";
import type { VariableValue } from "./variables.ts";
import { findWorkspace, keyedHash, type TerraformParts, type Workspace } from "./workspace.ts";

/** What a plan relies on. */
export interface InfraFacts {
  readonly registration: string;
  readonly commit: string;
  readonly manifest: string;
  readonly variables: Readonly<Record<string, VariableValue>>;
  readonly destroy: boolean;
  readonly state: { readonly lineage: string; readonly serial: number };
  /** What planning it again finds; null where the operator does without. */
  readonly world: string | null;
}

export const guardOf = (parts: TerraformParts, facts: InfraFacts): Promise<string> =>
  keyedHash(parts.stateDir, canonicalJson(facts));

/** Refusals that mean the world is another one than the plan's; others mean that it could not be looked at. */
const GONE: ReadonlySet<string> = new Set([
  "unknown_workspace",
  "ref_unknown",
  "ref_ambiguous",
  "ref_not_allowed",
  "commit_unreachable",
]);

/** Hash of everything the plan relies on, as it is now. Costs one more plan, where drift is looked for. */
export async function guardNow(parts: TerraformParts, plan: InfraPlan, ctx: ToolContext): Promise<string> {
  try {
    const { workspace, mirrorDir } = await stillThere(parts, plan, ctx);
    const request = { commit: plan.commit, mirrorDir, variables: plan.variables, destroy: plan.destroy };
    const same = {
      registration: workspace.digest,
      commit: plan.commit,
      variables: plan.variables,
      destroy: plan.destroy,
    };
    if (workspace.registration.drift_check) {
      ctx.progress("planning once more");
      const made = await makePlan(parts, workspace, request, ctx);
      const state = { lineage: made.snapshot.lineage, serial: made.snapshot.serial };
      return await guardOf(parts, { ...same, manifest: made.manifest.sha256, state, world: made.world });
    }
    const now = await readState(parts, workspace, plan.commit, mirrorDir, ctx);
    return await guardOf(parts, { ...same, ...now, world: null });
  } catch (error) {
    if (error instanceof ToolRefusal && GONE.has(error.code)) return `moved: ${error.code}`;
    throw error;
  }
}

/**
 * The workspace and its mirror, if the registration is the plan's and the ref still holds the plan's commit. A branch may
 * have gone on since: what was approved is the commit. One that was rewritten without it is another source.
 * @throws ToolRefusal
 */
export async function stillThere(
  parts: TerraformParts,
  plan: InfraPlan,
  ctx: ToolContext,
): Promise<{ readonly workspace: Workspace; readonly mirrorDir: string }> {
  const workspace = findWorkspace(parts, plan.workspace);
  // Another registration may name another repository; nothing of it is touched for a plan of the old one.
  if (workspace.digest !== plan.registration) throw new ToolRefusal("unknown_workspace", "registered anew");
  const mirror = await openRegisteredMirror(parts, workspace, ctx);
  const ref = readRef(plan.requested);
  const now = await mirror.resolve(ref, ctx.signal);
  if (now.name !== plan.ref && ref.kind !== "commit") throw new ToolRefusal("ref_unknown", now.name);
  if (now.oid !== plan.commit) {
    const look = keepName(`${ctx.requestId}-look`, ctx.now());
    try {
      const tip = await mirror.commitOf((await mirror.fetch(ref, look, ctx.signal)).oid, ctx.signal);
      if (tip !== plan.commit && !(await mirror.isAncestor(plan.commit, tip, ctx.signal))) {
        throw new ToolRefusal("commit_unreachable", plan.commit);
      }
    } finally {
      await mirror.release(look);
    }
  }
  return { workspace, mirrorDir: mirror.dir };
}

/** The state's identity and the checkout's, without planning. */
export async function readState(
  parts: TerraformParts,
  workspace: Workspace,
  commit: string,
  mirrorDir: string,
  ctx: ToolContext,
): Promise<{
  readonly manifest: string;
  readonly state: { readonly lineage: string; readonly serial: number };
}> {
  const version = await readVersion(workspace.registration.binary, parts.home, ctx.signal);
  return withCheckout(parts, workspace, { commit, mirrorDir }, ctx, async (room, manifest) => {
    const terraform = await openTerraform(parts, workspace, version, room, "plan", ctx);
    const scrub = createScrub(terraform.secrets);
    await initialise(terraform, workspace, scrub);
    return { manifest: sealManifest(manifest).sha256, state: await readStateMeta(terraform, scrub) };
  });
}
