import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ChildEnd, ExecutionJob, ToolWorld } from "../../src/tool-kit.ts";
import type { TerraformChildJob } from "./terraform-child.ts";
import type { TerraformWorld } from "./terraform-world.ts";

const CHILD = fileURLToPath(new URL("./terraform-child.ts", import.meta.url));

/** Starts a process that applies the plan and dies at a progress line; resolves when it is over. */
export function applyAndDie(world: TerraformWorld, job: ExecutionJob, dieAt: number): Promise<ChildEnd> {
  const child = spawn(process.execPath, ["--import", "tsx", CHILD], { stdio: ["pipe", "pipe", "pipe"] });
  const out: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  const input: TerraformChildJob = {
    entry: world.entry,
    stateDir: world.stateDir,
    workdir: mkdtempSync(join(world.dir, "work-")),
    dieAt,
    job: {
      plan: job.plan,
      requestId: job.requestId,
      files: job.files.map(({ name, bytes }) => ({ name, base64: Buffer.from(bytes).toString("base64") })),
    },
  };
  child.stdin.end(JSON.stringify(input));
  return new Promise((resolve, reject) => {
    // Not "close": terraform may outlive it, by design.
    child.once("exit", (code, signal) => {
      if (signal === "SIGKILL") resolve({ kind: "killed" });
      else if (code !== 0) reject(new Error(`the child failed: ${Buffer.concat(errors).toString("utf8")}`));
      else {
        const { lines } = JSON.parse(Buffer.concat(out).toString("utf8")) as { lines: number };
        resolve({ kind: "ended", progressLines: lines });
      }
    });
  });
}

export const KIT_SECRET = "hunter2-planted-in-a-variable";

/** Changes at every apply, so that the kit can apply the same commit again and again. */
export const KIT_CONFIG = `variable "size" {
  type    = number
  default = 1
}

variable "password" {
  type      = string
  sensitive = true
}

resource "terraform_data" "shop" {
  input = { size = var.size, password = var.password, at = timestamp() }
}

output "password" {
  value     = var.password
  sensitive = true
}
`;

/** The workspace as the conformance kit wants it: one size is applied, the next is asked for. */
export function terraformKitWorld(world: TerraformWorld, which: "plan" | "apply"): ToolWorld {
  const first = join(world.dir, "password");
  writeFileSync(first, `${KIT_SECRET}\n`, { mode: 0o600 });
  world.entry = { ...world.entry, set: { password: { file: first } } };
  let moves = 0;
  /** The state after a first apply: put back by every reset, as it would be made anew. */
  let applied: string | null = null;
  const state = (): string => (existsSync(world.state) ? readFileSync(world.state, "utf8") : "");
  return {
    input: { workspace: "shop", ref: "main", variables: { size: 2 }, destroy: false },
    refusedInputs: [
      { workspace: "shop" },
      { workspace: "../shop", ref: "main" },
      { workspace: "shop", ref: "--upload-pack=x" },
      { workspace: "shop", ref: "a..b" },
      { workspace: "shop", ref: "main", variables: { size: { nested: true } } },
      { workspace: "shop", ref: "main", directory: "/etc" },
      { workspace: "shop", ref: "main", backend: "s3" },
    ],
    workRoot: join(world.dir, "work"),
    secrets: [KIT_SECRET],
    makeTool: () => Promise.resolve(which === "plan" ? world.plan() : world.apply()),
    async reset() {
      for (const name of ["", ".backup"]) rmSync(`${world.state}${name}`, { force: true });
      rmSync(world.source.dir, { recursive: true, force: true });
      mkdirSync(world.source.dir);
      world.source.git("init", "-q", "-b", "main");
      world.source.commit({ "main.tf": KIT_CONFIG }, "first");
      if (applied === null) {
        await world.run({ variables: { size: 1 } });
        applied = state();
      }
      writeFileSync(world.state, applied);
    },
    // Names that terraform makes up, and the time, differ each time.
    snapshot: () => Promise.resolve(String(/"size": \d+/.exec(state())?.[0])),
    snapshotExactly: () => Promise.resolve(state()),
    changes: {
      "another apply changed the state": async () => void (await world.run({ variables: { size: 7 } })),
      "the state was put back to an older one": async () => {
        const text = JSON.parse(state()) as { serial: number };
        writeFileSync(world.state, JSON.stringify({ ...text, serial: text.serial - 1 }));
      },
      "the state is gone": async () => rmSync(world.state),
      "the branch was rewritten without the commit": async () => {
        world.source.git("checkout", "-q", "--orphan", `other-${moves++}`);
        world.source.commit({ "main.tf": `${KIT_CONFIG}# other\n` }, "other");
        world.source.git("branch", "-f", "main");
      },
      "the branch is gone": async () => void world.source.git("branch", "-m", "main", "elsewhere"),
    },
    ...(which === "plan"
      ? {}
      : { executeAndDie: (job: ExecutionJob, dieAt: number) => applyAndDie(world, job, dieAt) }),
  };
}
