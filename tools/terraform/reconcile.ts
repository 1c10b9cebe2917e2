import { open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ToolRefusal, type Reconciled, type ToolContext } from "../../src/tool.ts";
import { LockBusy, withLock } from "../git/lock.ts";
import { sha256 } from "../git/manifest.ts";
import { openRegisteredMirror } from "../git/registered-mirror.ts";
import { createEventReader, type ApplyEvents } from "./apply-command.ts";
import { readVersion } from "./binary.ts";
import { initialise, openTerraform, type Terraform } from "./command.ts";
import { PLAN_FILE, readStateMeta, showPlan, withCheckout } from "./make-plan.ts";
import {
  bootId,
  endMark,
  makeMarkDirectory,
  markPlace,
  readMark,
  type ApplyMark,
  type MarkPlace,
} from "./marks.ts";
import type { InfraPlan } from "./plan.ts";
import { planJsonSchema } from "./plan-json.ts";
import { createScrub } from "./scrub.ts";
import { isInState, stateResources } from "./state-compare.ts";
import { findWorkspace, type TerraformParts } from "./workspace.ts";

/**
 * What became of an apply whose answer was lost: found out by looking, while none is running. A terraform that outlived
 * the gateway is waited for. Never guessed: what neither its own words nor the state prove is unknown (X2).
 */
export async function reconcileApply(
  parts: TerraformParts,
  plan: InfraPlan,
  ctx: ToolContext,
): Promise<Reconciled> {
  const workspace = findWorkspace(parts, plan.workspace);
  if (workspace.digest !== plan.registration) return "unknown";
  const place = markPlace(parts.stateDir, workspace.name, plan);
  await makeMarkDirectory(place);
  try {
    return await withLock(place.dir, { signal: ctx.signal, waitMs: parts.limits.lockWaitMs }, async () => {
      const mark = await readMark(place);
      if (mark !== "none" && mark !== "torn" && mark.ended !== null) {
        return mark.ended.how === "done" ? "done" : "not_done";
      }
      // The mirror holds the commit still; nothing is fetched, so that a repository that is away hides nothing.
      const mirror = await openRegisteredMirror(parts, workspace, ctx);
      const version = await readVersion(workspace.registration.binary, parts.home, ctx.signal);
      return withCheckout(
        parts,
        workspace,
        { commit: plan.commit, mirrorDir: mirror.dir },
        ctx,
        async (room) => {
          const terraform = await openTerraform(parts, workspace, version, room, "plan", ctx);
          await initialise(terraform, workspace, createScrub(terraform.secrets));
          return judge({ parts, plan, ctx, place, mark, terraform });
        },
      );
    });
  } catch (error) {
    // It is still running, or can't be looked at.
    if (error instanceof LockBusy || error instanceof ToolRefusal) return "unknown";
    throw error;
  }
}

interface Look {
  readonly parts: TerraformParts;
  readonly plan: InfraPlan;
  readonly ctx: ToolContext;
  readonly place: MarkPlace;
  readonly mark: ApplyMark | "none" | "torn";
  readonly terraform: Terraform;
}

async function judge(look: Look): Promise<Reconciled> {
  const { plan, place, mark, terraform } = look;
  const now = await readStateMeta(terraform, createScrub(terraform.secrets));
  const isStill = now.lineage === plan.state.lineage && now.serial === plan.state.serial;
  // Terraform was never started. Where the state moved all the same, something is not as we think it is.
  if (mark === "none" || mark === "torn") return isStill ? "not_done" : "unknown";
  const events = await readEvents(place);
  if (isStill) {
    // After a restart of the machine, what terraform had said may be lost with the rest.
    const sameBoot = mark.boot !== null && mark.boot === (await bootId());
    return sameBoot && !events.began ? "not_done" : "unknown";
  }
  if (plan.state.lineage !== "" && now.lineage !== plan.state.lineage) return "unknown";
  if (events.summary === null && !(await isWhollyInState(look))) return "unknown";
  await endMark(place, { ...mark, ended: { how: "done", ...now } });
  return "done";
}

async function readEvents(place: MarkPlace): Promise<ApplyEvents> {
  const file = await open(place.events, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (file === null)
    return { began: false, completed: 0, failed: 0, summary: null, errors: [], isStale: false };
  try {
    const reader = createEventReader(file);
    await reader.read();
    return reader.events();
  } finally {
    await file.close();
  }
}

/** True where every change of the sealed plan can be told from the state to have been made. */
async function isWhollyInState({ parts, plan, ctx, terraform }: Look): Promise<boolean> {
  const bytes = await ctx.file(PLAN_FILE);
  if (sha256(bytes) !== plan.file.sha256) return false;
  const file = join(ctx.workdir, PLAN_FILE);
  await rm(file, { force: true });
  await writeFile(file, bytes, { mode: 0o600, flag: "wx" });
  const wanted = planJsonSchema.parse(await showPlan(parts, terraform, file));
  const shown = await terraform.run(["show", "-json", "-no-color"], parts.limits.jsonBytes);
  if (shown.code !== 0) return false;
  return isInState(wanted, stateResources(JSON.parse(shown.stdout.toString("utf8"))));
}
