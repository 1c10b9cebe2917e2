import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ToolRefusal, type ToolContext } from "../../src/tool.ts";
import { sha256, sealManifest, type Manifest } from "../git/manifest.ts";
import { openObjects } from "../git/objects.ts";
import { readCommit, readTree } from "../git/tree.ts";
import { readVersion } from "./binary.ts";
import { initialise, installedModules, openTerraform, type Terraform } from "./command.ts";
import { allModules, planJsonSchema, type PlanJson } from "./plan-json.ts";
import { inRoom, type Room } from "./room.ts";
import type { External } from "./externals.ts";
import { scanConfiguration, type Finding } from "./scan.ts";
import { createScrub, type Scrub } from "./scrub.ts";
import { readPlanSnapshot, type PlanSnapshot } from "./snapshot.ts";
import { secretsOf } from "./values.ts";
import { readValues, type VariableValue } from "./variables.ts";
import { keyedHash, type TerraformParts, type Workspace } from "./workspace.ts";

// From a commit to a saved plan. Nothing of the world is changed: state is not locked, and credentials are those for
// planning. The order matters: the configuration is read here before terraform reads it, because `init` fetches what it
// names and `plan` runs what its data sources say (P5).

export interface PlanRequest {
  readonly commit: string;
  readonly mirrorDir: string;
  readonly variables: Readonly<Record<string, VariableValue>>;
  readonly destroy: boolean;
}

/** A saved plan, with all that is known of it. Holds secrets: only `scrub`bed text of it may leave. */
export interface MadePlan {
  readonly bytes: Buffer;
  readonly json: PlanJson;
  readonly snapshot: PlanSnapshot;
  readonly manifest: { readonly sha256: string; readonly tree: string };
  readonly terraform: string;
  /** Keyed hash of what terraform would do and what it found: the same for two plans of a still world. */
  readonly world: string;
  readonly scrub: Scrub;
}

export const PLAN_FILE = "plan.bin";

/** @throws ToolRefusal */
export async function makePlan(
  parts: TerraformParts,
  workspace: Workspace,
  request: PlanRequest,
  ctx: ToolContext,
): Promise<MadePlan> {
  const { registration } = workspace;
  const version = await readVersion(registration.binary, parts.home, ctx.signal);
  return withCheckout(parts, workspace, request, ctx, async (room, manifest) => {
    await refuseFindings(
      workspace,
      (await scanConfiguration(room.tree, registration.directory ?? "")).findings,
    );
    const set = await readValues(registration.set, parts.env);
    const terraform = await openTerraform(parts, workspace, version, room, "plan", ctx);
    const known = [...set.secrets, ...terraform.secrets];
    const first = createScrub(known);
    ctx.progress("preparing the working directory");
    await initialise(terraform, workspace, first);
    if (registration.allow_external.includes("modules")) {
      const modules = await installedModules(room);
      await refuseFindings(
        workspace,
        (await scanConfiguration(room.tree, registration.directory ?? "", modules)).findings,
      );
    }
    ctx.progress("planning");
    const file = join(ctx.workdir, PLAN_FILE);
    await runPlan(terraform, file, { ...set.values, ...request.variables }, request.destroy, first, ctx);
    const bytes = await readFile(file);
    const raw = await showPlan(parts, terraform, file);
    const parsed = planJsonSchema.safeParse(raw);
    if (!parsed.success) throw new ToolRefusal("plan_unreadable", parsed.error.issues[0]?.message ?? "");
    const json = parsed.data;
    const scrub = createScrub([...known, ...secretsOf(json, (raw as { variables?: unknown }).variables)]);
    const snapshot = snapshotOf(bytes);
    await refuseFindings(workspace, [...snapshot.findings, ...dataFindings(json)]);
    if (snapshot.provisioners.length > 0 && !registration.allow_external.includes("provisioners")) {
      throw new ToolRefusal(
        "provisioner_refused",
        snapshot.provisioners.map((one) => `${one.file}:${one.line}`).join(", "),
      );
    }
    demandWhole(json, request, version.isTofu);
    for (const name of Object.keys(request.variables)) {
      if (json.configuration.root_module.variables?.[name] === undefined) {
        throw new ToolRefusal("variable_unknown", name);
      }
    }
    return {
      bytes,
      json,
      snapshot,
      manifest: { sha256: sealManifest(manifest).sha256, tree: manifest.tree },
      terraform: json.terraform_version,
      world: await worldOf(parts, raw, snapshot),
      scrub,
    };
  });
}

/** Reads the commit out of the mirror, every object checked against its id, and works in a checkout of it. */
export async function withCheckout<T>(
  parts: TerraformParts,
  workspace: Workspace,
  { commit, mirrorDir }: Pick<PlanRequest, "commit" | "mirrorDir">,
  ctx: ToolContext,
  work: (room: Room, manifest: Manifest) => Promise<T>,
): Promise<T> {
  const objects = openObjects(parts.git, mirrorDir, ctx.signal);
  try {
    const source = await readCommit(objects, commit);
    const files = [...(await readTree(objects, source.tree, parts.limits))];
    const manifest: Manifest = { v: 1, commit: source.commit, tree: source.tree, files };
    return await inRoom(parts, workspace, manifest, objects, ctx, (room) => work(room, manifest));
  } finally {
    await objects.close();
  }
}

const REFUSAL_OF: Readonly<Record<Finding["what"], string>> = {
  data: "external_refused",
  programs: "external_refused",
  state: "external_refused",
  files: "files_refused",
  modules: "module_refused",
  provisioners: "provisioner_refused",
  cloud: "backend_refused",
  backend: "backend_refused",
  unreadable: "configuration_unreadable",
  state_in_repository: "state_in_repository",
};

async function refuseFindings({ registration }: Workspace, findings: readonly Finding[]): Promise<void> {
  const bad = findings.filter(
    ({ what }) => !(registration.allow_external as readonly string[]).includes(what as External),
  );
  const first = bad[0];
  if (first === undefined) return;
  const words = bad.slice(0, 10).map((one) => `${one.file}:${one.line} ${one.words}`);
  throw new ToolRefusal(REFUSAL_OF[first.what], words.join("; "));
}

/** Data sources in terraform's own words: it has run them by now, and people have to hear of it. */
function dataFindings(json: PlanJson): readonly Finding[] {
  const found: Finding[] = [];
  for (const { path, module } of allModules(json.configuration.root_module)) {
    for (const one of module.resources ?? []) {
      if (one.mode !== "data" && one.mode !== "ephemeral") continue;
      const what =
        one.type === "external" || one.type === "http"
          ? "data"
          : one.type === "terraform_remote_state"
            ? "state"
            : null;
      if (what !== null)
        found.push({ what, file: `${path}${one.address}`, line: 1, words: "in the plan's configuration" });
    }
  }
  return found;
}

async function runPlan(
  terraform: Terraform,
  file: string,
  variables: Readonly<Record<string, VariableValue>>,
  destroy: boolean,
  scrub: Scrub,
  ctx: ToolContext,
): Promise<void> {
  const vars = join(ctx.workdir, "variables.tfvars.json");
  await writeFile(vars, JSON.stringify(variables), { mode: 0o600 });
  const end = await terraform.run([
    "plan",
    "-input=false",
    "-no-color",
    "-json",
    // Credentials for planning need not be able to write a lock, and a preview changes nothing (T2).
    "-lock=false",
    `-var-file=${vars}`,
    `-out=${file}`,
    ...(destroy ? ["-destroy"] : []),
  ]);
  if (end.code === 0) return chmod(file, 0o600);
  throw new ToolRefusal("plan_failed", scrub(diagnosticsOf(end.stdout.toString("utf8"), end.stderr)));
}

/** Errors in the words of terraform, one a line. */
export function diagnosticsOf(events: string, stderr: string): string {
  const lines: string[] = [];
  for (const line of events.split("\n")) {
    if (!line.includes('"error"')) continue;
    try {
      const { diagnostic } = JSON.parse(line) as {
        diagnostic?: { severity?: string; summary?: string; detail?: string };
      };
      if (diagnostic?.severity === "error")
        lines.push(`${diagnostic.summary ?? ""}: ${diagnostic.detail ?? ""}`);
    } catch {
      lines.push(line);
    }
  }
  return [...lines, stderr].join("\n").trim().slice(0, 4_000);
}

/** The JSON of a saved plan. */
export async function showPlan(parts: TerraformParts, terraform: Terraform, file: string): Promise<unknown> {
  if ((await stat(file)).size > parts.limits.planBytes)
    throw new ToolRefusal("plan_too_large", "the saved plan");
  const shown = await terraform.run(["show", "-json", "-no-color", file], parts.limits.jsonBytes);
  if (shown.code !== 0) throw new ToolRefusal("plan_unreadable", "show failed");
  return JSON.parse(shown.stdout.toString("utf8"));
}

function snapshotOf(bytes: Buffer): PlanSnapshot {
  try {
    return readPlanSnapshot(bytes);
  } catch (error) {
    throw new ToolRefusal("plan_unreadable", `the saved plan: ${String(error)}`);
  }
}

function demandWhole(json: PlanJson, request: PlanRequest, isTofu: boolean): void {
  if (json.errored === true) throw new ToolRefusal("plan_failed", "the plan says of itself that it failed");
  // Since 1.8 a plan says whether applying it would bring everything about; deferred changes are left out of it.
  // OpenTofu defers nothing, and does not say.
  if (!(json.complete ?? isTofu) || (json.deferred_changes ?? []).length > 0) {
    throw new ToolRefusal("plan_incomplete", request.commit);
  }
}

/** What is compared before an approved plan runs. The timestamp of a plan is not in it. */
async function worldOf(parts: TerraformParts, raw: unknown, snapshot: PlanSnapshot): Promise<string> {
  const plan = raw as Readonly<Record<string, unknown>>;
  const members = [
    "resource_changes",
    "output_changes",
    "configuration",
    "resource_drift",
    "terraform_version",
  ] as const;
  // Terraform writes members in one order, so equal plans are equal texts.
  const text = JSON.stringify([...members.map((name) => plan[name] ?? null), sha256(snapshot.lockFile)]);
  return keyedHash(parts.stateDir, text);
}

/** Lineage and serial of the state as it is now: empty and 0 where there is none. @throws ToolRefusal `state_unreadable` */
export async function readStateMeta(
  terraform: Terraform,
  scrub: Scrub,
): Promise<{ readonly lineage: string; readonly serial: number }> {
  const end = await terraform.run(["state", "pull"], 256 * 1024 * 1024);
  const text = end.stdout.toString("utf8");
  if (end.code !== 0) throw new ToolRefusal("state_unreadable", scrub(end.stderr).slice(0, 2_000));
  if (text.trim() === "") return { lineage: "", serial: 0 };
  const state = JSON.parse(text) as { lineage?: unknown; serial?: unknown };
  if (typeof state.lineage !== "string" || typeof state.serial !== "number") {
    throw new ToolRefusal("state_unreadable", "a state without lineage and serial");
  }
  return { lineage: state.lineage, serial: state.serial };
}
