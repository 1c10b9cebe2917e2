import { copyFile, rm, writeFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { NoEffect, ToolRefusal, type ToolContext } from "../../src/tool.ts";
import { LockBusy, withLock } from "../git/lock.ts";
import { sealManifest, sha256 } from "../git/manifest.ts";
import { NotStarted, runApply, type ApplyEnd } from "./apply-command.ts";
import { readVersion } from "./binary.ts";
import { initialise, openTerraform, type Terraform } from "./command.ts";
import { stillThere } from "./guard.ts";
import { PLAN_FILE, readStateMeta, showPlan, withCheckout } from "./make-plan.ts";
import {
  beginMark,
  bootId,
  endMark,
  makeMarkDirectory,
  markPlace,
  type ApplyMark,
  type MarkPlace,
} from "./marks.ts";
import type { ApplyOutput, InfraPlan } from "./plan.ts";
import { planJsonSchema } from "./plan-json.ts";
import { createScrub, MASKED, type Scrub } from "./scrub.ts";
import { secretsOf, shownValue } from "./values.ts";
import { readValues } from "./variables.ts";
import { findWorkspace, type TerraformParts, type Workspace } from "./workspace.ts";

// From the sealed plan to a changed world.
//
//   A1. What is applied is the saved plan that was sealed, byte for byte, in the checkout, terraform workspace and
//       backend that it was made in. A registration that is another one, or a checkout that differs, is refused.
//   A2. A plan is started once: its mark is durable before terraform is, and is never removed while the plan could run.
//   A3. NoEffect only where terraform was not started, or ended by itself before it began to change anything and the
//       state did not move. Everything else is unknown, and `reconcile` looks.

/** @throws NoEffect where nothing was changed; anything else means unknown */
export async function executeApply(
  parts: TerraformParts,
  plan: InfraPlan,
  ctx: ToolContext,
): Promise<{ readonly output: ApplyOutput }> {
  let started = false;
  try {
    const place = markPlace(parts.stateDir, findWorkspace(parts, plan.workspace).name, plan.file.sha256);
    await makeMarkDirectory(place);
    return await withLock(place.dir, { signal: ctx.signal, waitMs: parts.limits.lockWaitMs }, (lockFd) =>
      applyLocked(parts, plan, ctx, place, lockFd, () => (started = true)),
    );
  } catch (error) {
    if (started || error instanceof NoEffect) throw error;
    // Up to here terraform has planned and read, and changed nothing.
    if (ctx.signal.aborted)
      throw new NoEffect("aborted", "stopped before terraform was started", { cause: error });
    if (error instanceof LockBusy)
      throw new NoEffect("busy", "another apply of this workspace is running", { cause: error });
    if (error instanceof ToolRefusal)
      throw new NoEffect(error.code, "the workspace cannot be used as it was planned", { cause: error });
    throw new NoEffect("not_started", "terraform could not be started", { cause: error });
  }
}

async function applyLocked(
  parts: TerraformParts,
  plan: InfraPlan,
  ctx: ToolContext,
  place: MarkPlace,
  lockFd: number,
  onStart: () => void,
): Promise<{ readonly output: ApplyOutput }> {
  ctx.progress("checking that nothing moved");
  const bytes = await ctx.file(PLAN_FILE);
  if (sha256(bytes) !== plan.file.sha256)
    throw new NoEffect("plan_changed", "the sealed plan is another one");
  const { workspace, mirrorDir } = await stillThere(parts, plan, ctx).catch((cause: unknown) => {
    if (cause instanceof ToolRefusal)
      throw new NoEffect("stale", "the registration or the source is not what was planned", { cause });
    throw cause;
  });
  const { registration } = workspace;
  const version = await readVersion(registration.binary, parts.home, ctx.signal);
  if (version.version !== plan.terraform) {
    throw new NoEffect("stale", `terraform is ${version.version}, and ${plan.terraform} made the plan`);
  }
  return withCheckout(parts, workspace, { commit: plan.commit, mirrorDir }, ctx, async (room, manifest) => {
    if (sealManifest(manifest).sha256 !== plan.manifest)
      throw new NoEffect("stale", "the commit reads as another tree");
    const terraform = await openTerraform(parts, workspace, version, room, "apply", ctx);
    const set = await readValues(registration.set, parts.env);
    const known = [...set.secrets, ...terraform.secrets];
    await initialise(terraform, workspace, createScrub(known));
    const before = await readStateMeta(terraform, createScrub(known));
    if (before.lineage !== plan.state.lineage || before.serial !== plan.state.serial) {
      throw new NoEffect("stale", "the state was changed after the plan was made");
    }
    const planFile = join(ctx.workdir, PLAN_FILE);
    await rm(planFile, { force: true });
    await writeFile(planFile, bytes, { mode: 0o600, flag: "wx" });
    const raw = (await showPlan(parts, terraform, planFile)) as { variables?: unknown };
    const scrub = createScrub([...known, ...secretsOf(planJsonSchema.parse(raw), raw.variables)]);
    ctx.signal.throwIfAborted();
    const mark: ApplyMark = {
      v: 1,
      plan: plan.file.sha256,
      workspace: workspace.name,
      request: ctx.requestId,
      boot: await bootId(),
      ended: null,
    };
    if (!(await beginMark(place, mark)))
      throw new NoEffect("already_run", "this plan was applied before, or its apply was started");
    onStart();
    ctx.progress("applying");
    const end = await runApply(terraform, {
      planFile,
      place,
      lockFd,
      signal: ctx.signal,
      stopGraceMs: registration.stop_grace,
      onLine: (message) => ctx.progress(scrub(message)),
    }).catch(async (cause: unknown) => {
      if (!(cause instanceof NotStarted)) throw cause;
      await endMark(place, { ...mark, ended: { how: "no_effect", ...before } });
      throw new NoEffect("not_started", "terraform could not be started", { cause });
    });
    return settle({ parts, plan, ctx, place, mark, workspace, terraform, scrub, before }, end);
  });
}

interface Ended {
  readonly parts: TerraformParts;
  readonly plan: InfraPlan;
  readonly ctx: ToolContext;
  readonly place: MarkPlace;
  readonly mark: ApplyMark;
  readonly workspace: Workspace;
  readonly terraform: Terraform;
  readonly scrub: Scrub;
  readonly before: { readonly lineage: string; readonly serial: number };
}

/** What is known once terraform has ended. The caller may be gone; reading the state is not cut short for that. */
async function settle(run: Ended, end: ApplyEnd): Promise<{ readonly output: ApplyOutput }> {
  const { plan, place, mark, workspace, scrub, before } = run;
  const calm: ToolContext = { ...run.ctx, signal: AbortSignal.timeout(60_000) };
  const quiet = await openTerraform(
    run.parts,
    workspace,
    run.terraform.version,
    run.terraform.room,
    "apply",
    calm,
  );
  await keepErroredState(run);
  const after = await readStateMeta(quiet, scrub);
  const { summary } = end.events;
  if (end.code === 0 && summary !== null) {
    const outputs = await readOutputs(quiet, scrub);
    await endMark(place, { ...mark, ended: { how: "done", ...after } });
    return {
      output: {
        workspace: workspace.name,
        environment: plan.environment,
        commit: plan.commit,
        added: summary.add,
        changed: summary.change,
        destroyed: summary.remove,
        outputs,
        serial: after.serial,
      },
    };
  }
  const words = scrub(end.events.errors.join(" / ") || "terraform gave no reason").slice(0, 600);
  const isStill = after.lineage === before.lineage && after.serial === before.serial;
  // It ended by itself: a terraform that was killed may have begun something that it had not told yet.
  if (!end.events.began && isStill && end.code !== null) {
    await endMark(place, { ...mark, ended: { how: "no_effect", ...after } });
    const code = end.events.isStale ? "stale" : end.stopped ? "aborted" : "apply_refused";
    throw new NoEffect(code, `terraform changed nothing: ${words}`);
  }
  const { create, update, replace, delete: gone } = plan.counts;
  throw new Error(
    `terraform ${end.stopped ? "was stopped" : `ended with ${end.code === null ? "a signal" : `status ${end.code}`}`} after ${end.events.completed} of ${create + update + 2 * replace + gone} operations: ${words}`,
  );
}

/** Where a state could not be written to its backend, terraform leaves it in its working directory. It must not be lost. */
async function keepErroredState({ parts, terraform, workspace, ctx }: Ended): Promise<void> {
  const left = join(terraform.room.work, "errored.tfstate");
  const dir = join(parts.stateDir, "errored");
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await copyFile(left, join(dir, `${workspace.name}-${ctx.requestId}.tfstate`)).then(
    () => rm(left, { force: true }),
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    },
  );
}

async function readOutputs(terraform: Terraform, scrub: Scrub): Promise<Readonly<Record<string, string>>> {
  const end = await terraform.run(["output", "-json", "-no-color"]);
  if (end.code !== 0) return {};
  const outputs = JSON.parse(end.stdout.toString("utf8")) as Readonly<
    Record<string, { sensitive?: boolean; value?: unknown }>
  >;
  // Fresh secrets of this apply are known only now: what stands in a sensitive output is masked in the others, too.
  const fresh = createScrub(
    Object.values(outputs)
      .filter((one) => one.sensitive === true && typeof one.value === "string")
      .map((one) => one.value as string),
  );
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { sensitive, value }]) => [
      scrub(name),
      sensitive === true ? MASKED : fresh(shownValue(value, false, undefined, scrub)).slice(0, 4_000),
    ]),
  );
}
