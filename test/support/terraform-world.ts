import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { newId } from "../../src/base/id.ts";
import type { Tool, ToolContext, ToolPreview } from "../../src/tool.ts";
import { createApplyInfrastructure, workspaceRegistration } from "../../tools/apply_infrastructure/tool.ts";
import { createPlanInfrastructure } from "../../tools/plan_infrastructure/tool.ts";
import type { TerraformLimits } from "../../tools/terraform/workspace.ts";
import { findProgram } from "./find-program.ts";
import { makeGitSource, type GitSource } from "./git-source.ts";

/**
 * Why terraform can't be driven here; null where it can. Neither Debian nor npm has it, so a machine that must have every
 * target may still go without: COUNTERSIGN_TARGETS_WITHOUT=terraform, a list with commas.
 */
export function missingTerraform(
  env: Readonly<Record<string, string | undefined>> = process.env,
): string | null {
  if (findProgram("terraform") !== null) return null;
  const without = (env["COUNTERSIGN_TARGETS_WITHOUT"] ?? "").split(",").map((name) => name.trim());
  if (env["COUNTERSIGN_TARGETS"] === "required" && !without.includes("terraform")) {
    throw new Error(
      "terraform is missing and COUNTERSIGN_TARGETS=required; a machine that can't have it sets COUNTERSIGN_TARGETS_WITHOUT=terraform",
    );
  }
  return "terraform is not installed";
}

/** A workspace with a repository and a local state, all real, in a temporary directory. */
export interface TerraformWorld {
  readonly dir: string;
  readonly source: GitSource;
  readonly state: string;
  readonly stateDir: string;
  /** The registration as the operator writes it. */
  entry: Record<string, unknown>;
  env: Record<string, string>;
  plan(): Tool;
  apply(limits?: Partial<TerraformLimits>): Tool;
  context(options?: Partial<ToolContext> & { preview?: ToolPreview }): ToolContext;
  /** Preview of an apply of main. */
  preview(input?: JsonObject, tool?: Tool): Promise<ToolPreview>;
  /** Preview and execute. */
  run(input?: JsonObject): Promise<{ readonly preview: ToolPreview; readonly output: JsonObject }>;
  stateJson(): {
    readonly serial: number;
    readonly lineage: string;
    readonly resources: readonly JsonObject[];
    readonly outputs: JsonObject;
  };
  /** Terraform by hand, in a directory of its own, over the same state. */
  byHand(files: Readonly<Record<string, string>>, args: readonly (readonly string[])[]): void;
  remove(): void;
}

export function makeTerraformWorld(
  files: Readonly<Record<string, string>> = { "main.tf": BASE },
): TerraformWorld {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), "cs-terraform-")));
  const source = makeGitSource(dir);
  const state = join(dir, "state", "shop.tfstate");
  mkdirSync(join(dir, "state"));
  const stateDir = join(dir, "tool");
  mkdirSync(stateDir, { mode: 0o700 });
  source.commit(files, "first");
  let requests = 0;
  const options = () => ({
    workspaces: { shop: workspaceRegistration.parse(world.entry) },
    stateDir,
    env: world.env,
  });
  const world: TerraformWorld = {
    dir,
    source,
    state,
    stateDir,
    env: {},
    entry: {
      repository: source.dir,
      environment: "prod",
      backend: { local: state },
      refs: ["main", "release/*"],
      variables: { size: { type: "number", min: 1, max: 9 } },
    },
    plan: () => createPlanInfrastructure(options()),
    apply: (limits = {}) => createApplyInfrastructure({ ...options(), limits }),
    context(given = {}) {
      const { preview, ...rest } = given;
      requests += 1;
      return {
        signal: new AbortController().signal,
        requestId: newId("req", Date.now() + requests),
        idempotencyKey: "key",
        workdir: mkdtempSync(join(dir, "work-")),
        now: () => Date.now(),
        creds: (name) => Promise.reject(new Error(`no credential ${name}`)),
        file(name) {
          const found = preview?.files?.find((file) => file.name === name);
          return found === undefined
            ? Promise.reject(new Error(`no file ${name}`))
            : Promise.resolve(found.bytes);
        },
        progress: () => undefined,
        ...rest,
      };
    },
    async preview(input = {}, tool = world.apply()) {
      const parsed = tool.parseInput({ workspace: "shop", ref: "main", ...input });
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.issues));
      return tool.preview(parsed.input, world.context());
    },
    async run(input) {
      const tool = world.apply();
      const preview = await world.preview(input, tool);
      const { output } = await tool.execute(preview.plan, world.context({ preview }));
      return { preview, output: output as JsonObject };
    },
    stateJson: () => JSON.parse(readFileSync(state, "utf8")) as ReturnType<TerraformWorld["stateJson"]>,
    byHand(given, args) {
      const at = mkdtempSync(join(dir, "hand-"));
      for (const [name, text] of Object.entries({
        ...given,
        "backend_override.tf.json": JSON.stringify({ terraform: { backend: { local: { path: state } } } }),
      })) {
        writeFileSync(join(at, name), text);
      }
      const env = {
        PATH: process.env["PATH"] ?? "",
        HOME: at,
        CHECKPOINT_DISABLE: "1",
        TF_CLI_CONFIG_FILE: "/dev/null",
        TF_IN_AUTOMATION: "1",
      };
      for (const one of [["init", "-input=false"], ...args]) {
        execFileSync(findProgram("terraform") ?? "terraform", one, {
          cwd: at,
          env,
          stdio: ["ignore", "pipe", "pipe"],
        });
      }
    },
    remove: () => rmSync(dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 }),
  };
  return world;
}

export const BASE = `variable "size" {
  type    = number
  default = 1
}

resource "terraform_data" "one" {
  input = { size = var.size, name = "shop" }
}

output "size" {
  value = terraform_data.one.output.size
}
`;
