import { Worker } from "node:worker_threads";
import type { LogReport } from "../log/verify-log.ts";

/** What the worker is told. */
export interface VerifyTask {
  readonly directory: string;
  /** Signed by this process over what it has in memory: the files have to hold all of it. */
  readonly against: readonly string[];
}

/** Verifies a log directory in a thread of its own. `worker` is where verify-worker lies, as source or bundled. */
export function verifyInWorker(worker: URL, task: VerifyTask, signal: AbortSignal): Promise<LogReport> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const thread = new Worker(worker, { workerData: task, name: "verify-log" });
    const stop = (): void => void thread.terminate();
    signal.addEventListener("abort", stop, { once: true });
    let report: LogReport | null = null;
    thread.once("message", (message: LogReport) => {
      report = message;
    });
    thread.once("error", reject);
    thread.once("exit", () => {
      signal.removeEventListener("abort", stop);
      if (report !== null) resolve(report);
      else reject(new Error("the thread that verifies ended without a report"));
    });
    thread.unref();
  });
}
