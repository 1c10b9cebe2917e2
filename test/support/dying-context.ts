import { createToolContext } from "../../src/preview/context.ts";
import type { ToolContext } from "../../src/tool.ts";
import type { ExecutionJob } from "../../src/tool-kit.ts";

/** What a child process is told to run, on its standard input. */
export interface DyingJob {
  readonly workdir: string;
  readonly job: Omit<ExecutionJob, "files"> & {
    readonly files: readonly { readonly name: string; readonly base64: string }[];
  };
  /** The progress line at which the process kills itself; -1: never. */
  readonly dieAt: number;
}

/** All of standard input, as JSON. */
export async function readJob<T>(): Promise<T> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return JSON.parse(Buffer.concat(chunks).toString("utf8")) as T;
}

/** The context of one execution in a process that dies as a gateway would that is killed at that moment. */
export function dyingContext({ workdir, job, dieAt }: DyingJob): {
  readonly context: ToolContext;
  /** Progress lines so far. */
  lines(): number;
} {
  let lines = 0;
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
  return { context, lines: () => lines };
}
