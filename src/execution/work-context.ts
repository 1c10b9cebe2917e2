import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { RequestId } from "../base/id.ts";
import { createToolContext, type Credentials } from "../preview/context.ts";
import { createWorkdir } from "../preview/workdir.ts";
import type { ExecutorParts, OperationsLog } from "./execution.ts";

const traceIn = (trace: string | undefined): { readonly trace?: string } =>
  trace === undefined ? {} : { trace };

/** Contexts for guards, executions and revocations: a private directory, a deadline, the right kind of credentials. */
export function createWorkContexts(parts: {
  readonly clock: Clock;
  /** Directory under which each context gets one of its own (0700), removed afterwards. */
  readonly workRoot: string;
  readonly creds: Credentials;
  readonly previewTimeoutMs: number;
  readonly executeTimeoutMs: number;
  readonly log: OperationsLog;
  /** W3C `traceparent` of whoever asked, where this process knows it. */
  traceOf?(request: RequestId): string | undefined;
}): ExecutorParts["context"] {
  return async ({ request, idempotencyKey, mode, file, progress, asks }) => {
    const workdir = createWorkdir(parts.workRoot, `${mode}-`);
    const timeoutMs = mode === "preview" ? parts.previewTimeoutMs : parts.executeTimeoutMs;
    const deadline = new AbortController();
    // In place of `AbortSignal.timeout`, whose timer would outlive the work by as long as the work might have taken.
    const timer = setTimeout(
      () => deadline.abort(new DOMException(`no end after ${timeoutMs} ms`, "TimeoutError")),
      timeoutMs,
    ).unref();
    let isOver = false;
    const ctx = createToolContext({
      clock: parts.clock,
      signal: deadline.signal,
      isOver: () => isOver,
      requestId: request,
      idempotencyKey,
      workdir: workdir.path,
      access: mode === "preview" ? "read" : "write",
      creds: parts.creds,
      file,
      ...(asks === undefined ? {} : { asks }),
      ...(mode === "execute_at_once" ? { follows: "own_preview" as const } : {}),
      ...traceIn(parts.traceOf?.(request)),
      progress(message) {
        try {
          progress(message);
        } catch (error) {
          // Whoever listens must not make the tool fail: what it throws would be read as an outcome.
          parts.log.warn({ requestId: request, err: error }, "progress could not be told");
        }
      },
    });
    // A tool may leave what can't be removed. That is no reason to lose what it came to.
    const dispose = (): Promise<void> => {
      isOver = true;
      clearTimeout(timer);
      return workdir
        .remove()
        .catch((error: unknown) =>
          parts.log.warn({ requestId: request, err: error }, "work directory not removed"),
        );
    };
    return { ctx, dispose };
  };
}

const OLD_WORK_MS = 24 * 3_600_000;

/** Removes work directories that killed processes left: no preview or execution lives for a day. */
export async function removeOldWork(workRoot: string, now: number): Promise<void> {
  for (const name of await readdir(workRoot).catch((): string[] => [])) {
    const path = join(workRoot, name);
    const { mtimeMs } = await stat(path);
    if (now - mtimeMs > OLD_WORK_MS) await rm(path, { recursive: true, force: true });
  }
}
