import { access, constants, mkdir, realpath } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { ToolRefusal } from "../../src/tool.ts";
import { runCommand } from "../git/command.ts";
import type { WorkspaceRegistration } from "./registration.ts";

/** Where programs are looked for, and what providers and provisioners see as PATH. */
export const PATH =
  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/homebrew/bin:/snap/bin";

/** The program that a registration names, by absolute path. @throws ToolRefusal `terraform_missing` */
export async function findBinary(name: string): Promise<string> {
  const candidates = isAbsolute(name) ? [name] : PATH.split(":").map((dir) => join(dir, name));
  for (const path of candidates) {
    const found = await access(path, constants.X_OK).then(
      () => realpath(path),
      () => undefined,
    );
    if (found !== undefined) return found;
  }
  throw new ToolRefusal("terraform_missing", `${name} is not in ${isAbsolute(name) ? "its place" : PATH}`);
}

export interface TerraformVersion {
  readonly path: string;
  /** `1.11.4`. */
  readonly version: string;
  readonly isTofu: boolean;
}

/** `applyable` and `complete` of a plan's JSON came with 1.8; older ones can't say that a plan is whole. */
const OLDEST = { terraform: 8, tofu: 6 } as const;

/** Asks the program for its version. @throws ToolRefusal `terraform_missing`, `terraform_unusable` */
export async function readVersion(
  name: string,
  home: string,
  signal: AbortSignal,
): Promise<TerraformVersion> {
  const path = await findBinary(name);
  await mkdir(home, { recursive: true, mode: 0o700 });
  const end = await runCommand({
    argv: [path, "version", "-json"],
    env: { PATH, HOME: home, CHECKPOINT_DISABLE: "1", TF_CLI_CONFIG_FILE: "/dev/null" },
    cwd: home,
    signal,
    timeoutMs: 20_000,
    stdoutBytes: 64 * 1024,
  }).catch((cause: unknown) => {
    throw new ToolRefusal("terraform_unusable", `${path}: ${String(cause)}`);
  });
  signal.throwIfAborted();
  const version = /"terraform_version"\s*:\s*"(\d+\.\d+\.\d+[^"]{0,40})"/.exec(
    end.stdout.toString("utf8"),
  )?.[1];
  if (version === undefined)
    throw new ToolRefusal("terraform_unusable", `${path} does not say its version: ${end.stderr}`);
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const kind = /tofu/.test(path) ? "tofu" : "terraform";
  if (major < 1 || (major === 1 && minor < OLDEST[kind])) {
    throw new ToolRefusal(
      "terraform_unusable",
      `${path} is ${version}: 1.${OLDEST[kind]} or newer is needed`,
    );
  }
  return { path, version, isTofu: kind === "tofu" };
}

/** One thing about a workspace that an operator should know; for `countersign doctor`. */
export interface TerraformFinding {
  readonly ok: boolean;
  /** `terraform 1.11.4 at /usr/local/bin/terraform`, or what is wrong. */
  readonly message: string;
  /** The next step, where there is one. */
  readonly hint: string | null;
}

/** How terraform is put where the gateway finds it. */
export const ENABLE_HINT =
  "install terraform 1.8 or newer, or OpenTofu (binary: tofu), for the gateway's account, or set binary: /absolute/path in the workspace's registration; then call again";

/** What is wrong with the program and the files that a registration names. Changes nothing, reaches no network. */
export async function checkTerraform(
  registration: WorkspaceRegistration,
  around: {
    readonly env: Readonly<Record<string, string | undefined>>;
    /** An empty directory of ours, made if it is not there. */
    readonly home: string;
    readonly signal: AbortSignal;
  },
): Promise<readonly TerraformFinding[]> {
  const findings: TerraformFinding[] = [];
  try {
    const found = await readVersion(registration.binary, around.home, around.signal);
    const name = found.isTofu ? "tofu" : "terraform";
    findings.push({ ok: true, message: `${name} ${found.version} at ${found.path}`, hint: null });
  } catch (error) {
    if (!(error instanceof ToolRefusal)) throw error;
    const what = error.code === "terraform_missing" ? "terraform not found" : "terraform cannot be used";
    findings.push({ ok: false, message: `${what}: ${error.detail}`, hint: ENABLE_HINT });
  }
  const sources = {
    ...registration.set,
    ...registration.env,
    ...registration.plan_env,
    ...registration.apply_env,
  };
  for (const [name, source] of Object.entries(sources)) {
    if (source.env !== undefined && (around.env[source.env] ?? "") === "") {
      findings.push({
        ok: false,
        message: `${name}: the gateway's environment has no ${source.env}`,
        hint: `set ${source.env} where the gateway is started`,
      });
    }
    if (source.file !== undefined && !(await isReadable(source.file))) {
      findings.push({
        ok: false,
        message: `${name}: ${source.file} cannot be read`,
        hint: `make ${source.file} readable for the gateway's account`,
      });
    }
  }
  for (const path of [registration.providers.mirror, registration.cli_config]) {
    if (path !== undefined && !(await isReadable(path))) {
      findings.push({
        ok: false,
        message: `${path} cannot be read`,
        hint: `make ${path} readable for the gateway's account`,
      });
    }
  }
  if (
    registration.providers.mirror === undefined &&
    registration.cli_config === undefined &&
    registration.providers.allow.length > 0
  ) {
    findings.push({
      ok: true,
      message: "provider plugins come from their registry, over the network",
      hint: null,
    });
  }
  return findings;
}

const isReadable = (path: string): Promise<boolean> =>
  access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
