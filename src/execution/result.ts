import { canonicalBytes, canonicalCopy, type Json } from "../base/canonical-json.ts";
import type { RequestId } from "../base/id.ts";
import { isFault } from "../errors.ts";
import type { BlobRef } from "../request/action-request.ts";
import type { BlobStore } from "../store/store.ts";
import type { ExecutorParts } from "./execution.ts";

// What a tool gave back. It is worth less than the outcome: where it can't be kept, the outcome is recorded without it.

/** The result as plain JSON; null where it is none. */
export function plainJson(
  { log }: Pick<ExecutorParts, "log">,
  request: RequestId,
  value: Json | null,
): Json | null {
  try {
    return value === null ? null : canonicalCopy(value);
  } catch (error) {
    log.error({ requestId: request, err: error }, "the tool's result is no JSON; it is not kept");
    return null;
  }
}

/**
 * Stores a result, masked, or what undoes it.
 * @throws CountersignError `STORE_CLOSED`
 */
export async function keepResult(
  { blobs, log, mask }: Pick<ExecutorParts, "log" | "mask"> & { readonly blobs: Pick<BlobStore, "put"> },
  request: RequestId,
  tag: "result" | "undo",
  value: Json | null,
): Promise<BlobRef | null> {
  if (value === null) return null;
  try {
    const bytes = canonicalBytes(tag === "result" ? mask(value) : value);
    const [ref] = await blobs.put([{ tag, bytes, type: "application/json" }]);
    return ref ?? null;
  } catch (error) {
    if (isFault(error, "STORE_CLOSED")) throw error;
    log.error({ requestId: request, err: error }, "the result could not be kept");
    return null;
  }
}
