import { createDeployService, serviceRegistration } from "../../tools/deploy_service/tool.ts";
import type { ExecutionJob } from "../../src/tool-kit.ts";
import { createToolContext } from "../../src/preview/context.ts";

// A process that executes one plan and dies at a given progress line, as a gateway would that is killed at that moment.

export interface ChildJob {
  readonly entry: Record<string, unknown>;
  readonly stateDir: string;
  readonly workdir: string;
  readonly job: Omit<ExecutionJob, "files"> & {
    readonly files: readonly { name: string; type: string; base64: string }[];
  };
  /** -1: never. */
  readonly dieAt: number;
}

const chunks: Buffer[] = [];
for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
const { entry, stateDir, workdir, job, dieAt } = JSON.parse(
  Buffer.concat(chunks).toString("utf8"),
) as ChildJob;
let lines = 0;
const tool = createDeployService({ services: { web: serviceRegistration.parse(entry) }, stateDir });
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
process.stderr.write("started\n");
const end = await tool.execute(job.plan, context).then(
  () => "done",
  (error: unknown) => String(error),
);
process.stdout.write(JSON.stringify({ lines, end }));
