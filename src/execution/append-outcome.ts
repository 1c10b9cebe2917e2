import type { RequestId } from "../base/id.ts";
import { isFault } from "../errors.ts";
import type { AppendResult, Batch } from "../store/store.ts";
import type { ExecutorParts } from "./execution.ts";

/** An outcome that could not be recorded is tried again after this long. */
const OUTCOME_RETRY_MS = 1_000;

/** An outcome waits for room on the disk, and for a clock that jumped: it must not be lost while we live (X2). */
export async function appendOutcome(
  parts: Pick<ExecutorParts, "append" | "log">,
  request: RequestId,
  batch: () => Batch,
): Promise<AppendResult> {
  for (;;) {
    try {
      return await parts.append(batch());
    } catch (error) {
      if (!isFault(error, "STORE_FULL") && !isFault(error, "ENTRY_FROM_FUTURE")) throw error;
      parts.log.error({ requestId: request, err: error }, "the outcome could not be recorded yet");
      await new Promise((resolve) => setTimeout(resolve, OUTCOME_RETRY_MS));
    }
  }
}
