import { createToolContext } from "../../src/preview/context.ts";
import type { ExecutionJob } from "../../src/tool-kit.ts";
import { createApplyInfrastructure, workspaceRegistration } from "../../tools/apply_infrastructure/tool.ts";

// A process that applies one plan and dies at a given progress line, as a gateway would that is killed at that moment.

export interface TerraformChildJob {
  readonly entry: Record<string, unknown>;
  readonly stateDir: string;
  readonly workdir: string;
  readonly job: Omit<ExecutionJob, "files"> & {
    readonly files: readonly { readonly name: string; readonly base64: string }[];
  };
  /** -1: never. */
  readonly dieAt: number;
}

const chunks: Buffer[] = [];
for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
const { entry, stateDir, workdir, job, dieAt } = JSON.parse(
  Buffer.concat(chunks).toString("utf8"),
) as TerraformChildJob;
let lines = 0;
const tool = createApplyInfrastructure({
  workspaces: { shop: workspaceRegistration.parse(entry) },
  stateDir,
});
const context = createToolContext({
  clock: { now: () => Date.now(), monotonic: () => performance.now() },
  signal: new AbortController().signal,
  requestId: job.requestId,
  idempotencyKey: job.requestId,
  workdir,
  access: "write",
  creds: (name) => Promise.reject(new Error(`no credential ${name}`)),
  file: (name) => {
    const file = job.files.find((one) => one.name === name);
    return file === undefined
      ? Promise.reject(new Error(name))
      : Promise.resolve(Buffer.from(file.base64, "base64"));
  },
  progress: () => {
    if (lines === dieAt) process.kill(process.pid, "SIGKILL");
    lines += 1;
  },
});
const end = await tool.execute(job.plan, context).then(
  () => "done",
  (error: unknown) => String(error),
);
process.stdout.write(JSON.stringify({ lines, end }));
