import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ToolRefusal, type ToolContext } from "../../src/tool.ts";
import { runCommand, type CommandEnd } from "../git/command.ts";
import { PATH, type TerraformVersion } from "./binary.ts";
import type { Room } from "./room.ts";
import type { Scrub } from "./scrub.ts";
import { readValues } from "./variables.ts";
import type { TerraformParts, Workspace } from "./workspace.ts";

// Terraform, run with an environment stated whole: no TF_CLI_ARGS, TF_VAR_, TF_LOG or provider reattachment of the
// gateway's reaches it, no ~/.terraformrc is found, and nothing is asked for on a terminal.

export interface Terraform {
  readonly version: TerraformVersion;
  readonly env: Readonly<Record<string, string>>;
  readonly room: Room;
  /** Values that came from the operator's environment and files. */
  readonly secrets: readonly string[];
  run(args: readonly string[], stdoutBytes?: number): Promise<CommandEnd & { readonly stdout: Buffer }>;
}

export async function openTerraform(
  parts: TerraformParts,
  workspace: Workspace,
  version: TerraformVersion,
  room: Room,
  mode: "plan" | "apply",
  ctx: ToolContext,
): Promise<Terraform> {
  const { registration } = workspace;
  const sources = {
    ...registration.env,
    ...(mode === "plan" ? registration.plan_env : registration.apply_env),
  };
  const { values, secrets } = await readValues(sources, parts.env);
  const env: Record<string, string> = {
    ...Object.fromEntries(Object.entries(values).map(([name, value]) => [name, String(value)])),
    PATH,
    HOME: parts.home,
    LC_ALL: "C.UTF-8",
    CHECKPOINT_DISABLE: "1",
    TF_IN_AUTOMATION: "1",
    TF_INPUT: "0",
    TF_CLI_CONFIG_FILE: room.cliConfig,
    TF_DATA_DIR: room.data,
    ...(registration.workspace === "default" ? {} : { TF_WORKSPACE: registration.workspace }),
  };
  return {
    version,
    env,
    room,
    secrets,
    async run(args, stdoutBytes = 16 * 1024 * 1024) {
      const end = await runCommand({
        argv: [version.path, ...args],
        env,
        cwd: room.work,
        signal: ctx.signal,
        timeoutMs: registration.plan_timeout,
        stdoutBytes,
        stderrBytes: 64 * 1024,
      }).catch((cause: unknown) => {
        throw new ToolRefusal("terraform_unusable", String(cause));
      });
      ctx.signal.throwIfAborted();
      if (end.stopped === "timeout") throw new ToolRefusal("plan_slow", args[0] ?? "");
      if (end.stopped === "output") throw new ToolRefusal("plan_too_large", args[0] ?? "");
      return end;
    },
  };
}

/** Prepares the working directory. @throws ToolRefusal `init_failed`, `backend_refused` */
export async function initialise(terraform: Terraform, workspace: Workspace, scrub: Scrub): Promise<void> {
  const { room } = terraform;
  const hasLock = await readFile(join(room.work, ".terraform.lock.hcl")).then(
    () => true,
    () => false,
  );
  const end = await terraform.run([
    "init",
    "-input=false",
    "-no-color",
    "-reconfigure",
    ...(hasLock ? ["-lockfile=readonly"] : []),
  ]);
  if (end.code !== 0) {
    const said = `${end.stderr}\n${end.stdout.toString("utf8")}`;
    const isPlugin = /provider (?:packages?|registry)|available provider/i.test(said);
    throw new ToolRefusal(isPlugin ? "provider_refused" : "init_failed", scrub(said).slice(0, 4_000));
  }
  await checkBackend(room, workspace);
}

/** What terraform itself has recorded about where the state is: the operator's backend, and nothing besides. */
async function checkBackend(room: Room, { registration }: Workspace): Promise<void> {
  const text = await readFile(join(room.data, "terraform.tfstate"), "utf8").catch(() => "{}");
  const { backend } = JSON.parse(text) as {
    backend?: { type?: unknown; config?: Readonly<Record<string, unknown>> };
  };
  const wanted =
    "local" in registration.backend
      ? { type: "local", config: { path: registration.backend.local } }
      : registration.backend;
  const differs = Object.entries(wanted.config).find(
    ([name, value]) => JSON.stringify(backend?.config?.[name]) !== JSON.stringify(value),
  );
  if (backend?.type !== wanted.type || differs !== undefined) {
    throw new ToolRefusal("backend_refused", `${String(backend?.type)}: ${differs?.[0] ?? "another type"}`);
  }
}

/** Directories of modules that init installed from elsewhere. */
export async function installedModules(room: Room): Promise<readonly string[]> {
  const text = await readFile(join(room.data, "modules", "modules.json"), "utf8").catch(() => null);
  if (text === null) return [];
  const { Modules: modules = [] } = JSON.parse(text) as { Modules?: readonly { Dir?: string }[] };
  return modules
    .map((module) => join(room.work, module.Dir ?? "."))
    .map((dir, i) => ((modules[i]?.Dir ?? "").startsWith("/") ? (modules[i]?.Dir as string) : dir))
    .filter((dir) => dir.startsWith(`${room.data}/`));
}
