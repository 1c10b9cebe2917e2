import { NoEffect, ToolRefusal, type Reconciled, type ToolContext } from "../../src/tool.ts";
import { runHealth, type HealthPhase } from "./health.ts";
import { LockBusy, withLock } from "../git/lock.ts";
import { manifestSchema, sha256, type Manifest } from "../git/manifest.ts";
import { openObjects } from "../git/objects.ts";
import { openRegisteredMirror } from "../git/registered-mirror.ts";
import type { DeployOutput, DeployPlan, DeployUndo } from "./plan.ts";
import { MANIFEST_FILE } from "./preview.ts";
import {
  linkTo,
  listReleases,
  lstatOrNull,
  openRoot,
  readCurrent,
  readCurrentLink,
  readRecord,
  recordPath,
  releaseDir,
  removeRelease,
  sweepLeftovers,
  switchCurrent,
} from "./releases.ts";
import { findService, guardNow, type DeployParts } from "./service.ts";
import { writeRelease } from "./write-release.ts";

// From the sealed plan to a switched link.
//
//   E1. Until the switch nothing that is served changes: what fails there is NoEffect, after the traces are gone.
//   E2. The switch is one rename, made only if `current` still is what the plan was made on.
//   E3. A release that fails its health command is taken back, and only a switch-back that was looked at is NoEffect;
//       everything else after the switch is unknown, and `reconcile` answers by looking.

type Run = { readonly parts: DeployParts; readonly plan: DeployPlan; readonly ctx: ToolContext };

/** @throws NoEffect where `current` is what it was before; anything else means unknown */
export async function executeDeploy(
  parts: DeployParts,
  plan: DeployPlan,
  ctx: ToolContext,
): Promise<{ readonly output: DeployOutput; readonly undo: DeployUndo }> {
  const run: Run = { parts, plan, ctx };
  try {
    return await withLock(
      await openRoot(plan.root),
      { signal: ctx.signal, waitMs: parts.limits.lockWaitMs },
      () => deployLocked(run),
    );
  } catch (error) {
    if (error instanceof LockBusy) {
      throw new NoEffect(ctx.signal.aborted ? "aborted" : "busy", error.message, { cause: error });
    }
    // Refusals come from before the lock and from before the switch; deployLocked has translated its own.
    if (error instanceof ToolRefusal)
      throw new NoEffect(error.code, "the release root cannot be used", { cause: error });
    throw error;
  }
}

async function deployLocked(run: Run): Promise<{ readonly output: DeployOutput; readonly undo: DeployUndo }> {
  const { plan, ctx } = run;
  await beforeSwitch(run);

  ctx.progress("switching");
  const previous = plan.previous?.link ?? null;
  let switched: boolean;
  try {
    switched = await switchCurrent(plan.root, previous, linkTo(plan.release));
  } catch (cause) {
    // The rename may or may not have happened; only looking tells.
    if ((await readCurrentLink(plan.root)) !== previous) throw cause;
    await removeRelease(plan.root, plan.release);
    throw new NoEffect("switch_failed", "the link could not be switched", { cause });
  }
  if (!switched) {
    await removeRelease(plan.root, plan.release);
    throw new NoEffect("stale", "another release became current meanwhile");
  }

  const problem = await runPhase(run, "health", ctx.signal);
  if (problem !== undefined) await takeBack(run, problem);
  ctx.progress("removing old releases");
  const removed = await removeOld(plan);
  return {
    output: {
      service: plan.service,
      environment: plan.environment,
      release: plan.release,
      commit: plan.commit,
      previous: plan.previous?.release ?? null,
      files: plan.manifest.files,
      bytes: plan.manifest.bytes,
      health: plan.health === null ? "not_registered" : "passed",
      removed,
    },
    undo: {
      v: 1,
      service: plan.service,
      root: plan.root,
      release: plan.release,
      previous: plan.previous === null ? null : { release: plan.previous.release, link: plan.previous.link },
      health: plan.health,
    },
  };
}

/** Everything up to the switch (E1). */
async function beforeSwitch(run: Run): Promise<void> {
  const { parts, plan, ctx } = run;
  let written = false;
  try {
    ctx.progress("checking that nothing moved");
    const service = findService(parts, plan.service);
    const manifest = await readManifest(plan, ctx);
    if ((await guardNow(parts, plan, ctx)) !== plan.guard) {
      throw new NoEffect(
        "stale",
        "the source, the registration or the current release is not what the plan was made on",
      );
    }
    await sweepLeftovers(plan.root);
    for (const path of [releaseDir(plan.root, plan.release), recordPath(plan.root, plan.release)]) {
      if ((await lstatOrNull(path)) !== null)
        throw new NoEffect("release_exists", "a release of that name exists");
    }
    ctx.progress("writing the release");
    written = true;
    const mirror = await openRegisteredMirror(parts, service, ctx);
    const reader = openObjects(parts.git, mirror.dir, ctx.signal);
    try {
      await writeRelease(plan.root, plan.release, manifest.value, manifest.bytes, reader, ctx.signal);
    } finally {
      await reader.close();
    }
    const problem = await runPhase(run, "check", ctx.signal);
    if (problem !== undefined) throw new NoEffect("check_failed", `the check of the new release ${problem}`);
    ctx.signal.throwIfAborted();
  } catch (error) {
    if (written) await cleanUp(plan);
    if (error instanceof NoEffect) throw error;
    if (ctx.signal.aborted)
      throw new NoEffect("aborted", "stopped before anything was switched", { cause: error });
    const code = error instanceof ToolRefusal ? error.code : "write_failed";
    throw new NoEffect(code, "the release could not be made", { cause: error });
  }
}

async function readManifest(
  plan: DeployPlan,
  ctx: ToolContext,
): Promise<{ readonly value: Manifest; readonly bytes: Uint8Array }> {
  const bytes = await ctx.file(MANIFEST_FILE);
  if (sha256(bytes) !== plan.manifest.sha256)
    throw new NoEffect("manifest_changed", "the sealed manifest is another one");
  const value = manifestSchema.parse(JSON.parse(Buffer.from(bytes).toString("utf8")));
  return { value, bytes };
}

async function cleanUp(plan: DeployPlan): Promise<void> {
  await removeRelease(plan.root, plan.release);
  await sweepLeftovers(plan.root);
}

async function runPhase(run: Run, phase: HealthPhase, signal: AbortSignal): Promise<string | undefined> {
  const { plan, ctx } = run;
  const command = phase === "check" ? plan.check : plan.health;
  if (command === null) return undefined;
  ctx.progress(phase === "check" ? "checking the new release" : "asking for health");
  const release = phase === "rollback" ? (plan.previous?.release ?? plan.release) : plan.release;
  return runHealth(run.parts, command, {
    phase,
    service: plan.service,
    release,
    dir: releaseDir(plan.root, release),
    signal,
  });
}

/** Switches back after a failed health command, and says what is known then (E3). Never returns. */
async function takeBack(run: Run, problem: string): Promise<never> {
  const { plan, ctx } = run;
  ctx.progress("switching back");
  const previous = plan.previous?.link ?? null;
  if (!(await switchCurrent(plan.root, linkTo(plan.release), previous))) {
    throw new Error(`the health command ${problem}, and current was switched by someone else`);
  }
  // The caller may be gone; the service is not. So the command that puts the old release to work is not cut short.
  const again =
    plan.previous === null ? undefined : await runPhase(run, "rollback", new AbortController().signal);
  if (again !== undefined) {
    throw new Error(`the health command ${problem}; switched back, and there it ${again}`);
  }
  await removeRelease(plan.root, plan.release);
  throw new NoEffect(
    ctx.signal.aborted ? "aborted" : "health_failed",
    `the health command ${problem}; ${plan.previous === null ? "the link was removed" : `switched back to ${plan.previous.release}`}`,
  );
}

// What stays is what people may want to go back to. A release that can't be removed is in nobody's way.
async function removeOld(plan: DeployPlan): Promise<string[]> {
  const stay = new Set([plan.release, ...(plan.previous === null ? [] : [plan.previous.release])]);
  const removed: string[] = [];
  try {
    for (const id of await listReleases(plan.root)) {
      if (stay.has(id)) continue;
      if (stay.size < plan.keep) stay.add(id);
      else {
        await removeRelease(plan.root, id);
        removed.push(id);
      }
    }
  } catch {
    return removed;
  }
  return removed;
}

/** Switches back to the release before, if the one that was deployed still is current. */
export async function revokeDeploy(parts: DeployParts, undo: DeployUndo, ctx: ToolContext): Promise<void> {
  const root = await openRoot(undo.root);
  await withLock(root, { signal: ctx.signal, waitMs: parts.limits.lockWaitMs }, async () => {
    if ((await readCurrentLink(root)) !== linkTo(undo.release)) return;
    if (undo.previous !== null && (await lstatOrNull(releaseDir(root, undo.previous.release))) === null) {
      throw new Error(`the release ${undo.previous.release} is gone`);
    }
    ctx.progress("switching back");
    await switchCurrent(root, linkTo(undo.release), undo.previous?.link ?? null);
    if (undo.health === null || undo.previous === null) return;
    const problem = await runHealth(parts, undo.health, {
      phase: "rollback",
      service: undo.service,
      release: undo.previous.release,
      dir: releaseDir(root, undo.previous.release),
      signal: ctx.signal,
    });
    if (problem !== undefined) throw new Error(`switched back, and the health command ${problem}`);
  });
}

/** What became of a deploy whose answer was lost: found out by looking, while no deploy is running. */
export async function reconcileDeploy(
  parts: DeployParts,
  plan: DeployPlan,
  ctx: ToolContext,
): Promise<Reconciled> {
  const root = await openRoot(plan.root);
  try {
    return await withLock(root, { signal: ctx.signal, waitMs: parts.limits.lockWaitMs }, async () => {
      const link = await readCurrentLink(root);
      if (link === (plan.previous?.link ?? null)) return "not_done";
      if (link !== linkTo(plan.release)) return "unknown";
      const current = await readCurrent(root, parts.limits.entries);
      const whole = current?.manifest !== null && current?.drifted.length === 0;
      const record = await readRecord(root, plan.release);
      return whole && record?.sha256 === plan.manifest.sha256 ? "done" : "unknown";
    });
  } catch (error) {
    // The process that runs it is alive after all.
    if (error instanceof LockBusy) return "unknown";
    throw error;
  }
}
