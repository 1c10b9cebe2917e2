import { setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { verifyLog } from "../log/verify.ts";
import type { VerifyTask } from "./verify-in-worker.ts";

// The thread that verifies. On Linux its priority is its own (setpriority(2), "a thread"): calls and people come first.

if (process.platform === "linux") {
  try {
    setPriority(10);
  } catch {
    // Not allowed here: it only takes longer for others.
  }
}
const { directory, against } = workerData as VerifyTask;
parentPort?.postMessage(await verifyLog(directory, { against, threads: 1 }));
