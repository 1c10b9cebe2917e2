import { createHash } from "node:crypto";
import { canonicalBytes, canonicalCopy, type Json } from "../base/canonical-json.ts";
import type { RequestId } from "../base/id.ts";
import { isFault } from "../errors.ts";
import type { BlobRef } from "../request/action-request.ts";
import type { BlobStore, NewBlob, PlaceOptions } from "../store/store.ts";
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

export interface KeptResult {
  readonly output: BlobRef | null;
  readonly undo: BlobRef | null;
  /** Resolves when they are on the disk, or will not be: later readers find them gone. */
  readonly durable: Promise<void>;
}

/**
 * Stores a result, masked, and what undoes it.
 * @throws CountersignError `STORE_CLOSED`
 */
export async function keepResult(
  { blobs, log, mask }: Pick<ExecutorParts, "log" | "mask"> & { readonly blobs: Pick<BlobStore, "place"> },
  request: RequestId,
  { output, undo }: { readonly output: Json | null; readonly undo: Json | null },
  options: PlaceOptions = {},
): Promise<KeptResult> {
  const lost = (error: unknown): void => {
    if (isFault(error, "STORE_CLOSED")) throw error;
    log.error({ requestId: request, err: error }, "the result could not be kept");
  };
  const kept = (tag: "result" | "undo", value: Json): NewBlob => ({
    tag,
    bytes: canonicalBytes(value),
    type: "application/json",
  });
  try {
    const wanted = [
      ...(output === null ? [] : [capped(kept("result", mask(output)))]),
      ...(undo === null ? [] : [kept("undo", undo)]),
    ];
    if (wanted.length === 0) return NOTHING;
    const { refs, durable } = await blobs.place(wanted, options);
    const settled = durable.catch(lost);
    // Looked at after the outcome is an entry; until then it is no unhandled rejection.
    settled.catch(() => undefined);
    return {
      output: output === null ? null : (refs[0] ?? null),
      undo: undo === null ? null : (refs.at(-1) ?? null),
      durable: settled,
    };
  } catch (error) {
    lost(error);
    return NOTHING;
  }
}

/** A result above this is recorded by its beginning, its length and its digest. Whoever is attached gets the whole. */
export const MAX_KEPT_BYTES = 1024 * 1024;
const SHOWN_OF_CUT = 32 * 1024;

function capped(result: NewBlob): NewBlob {
  const { bytes } = result;
  if (bytes.length <= MAX_KEPT_BYTES) return result;
  const begins = new TextDecoder().decode(bytes.subarray(0, SHOWN_OF_CUT));
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return {
    ...result,
    bytes: canonicalBytes({ typ: "countersign.cut", v: 1, bytes: bytes.length, sha256, begins }),
  };
}

const NOTHING: KeptResult = { output: null, undo: null, durable: Promise.resolve() };
