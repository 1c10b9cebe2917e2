import { canonicalBytes, type Json } from "../base/canonical-json.ts";
import { CountersignError } from "../errors.ts";
import type { RequestRecord } from "../request/requests.ts";
import type { BlobStore, NewBlob } from "../store/store.ts";
import type { RequestId } from "../base/id.ts";

/** What will run, and the end that countersign must bring about, under one digest. */
export interface SealedPlan {
  readonly plan: Json;
  readonly lease: {
    readonly undo: Json;
    readonly durationMs: number;
    readonly endsBy: "backend" | "countersign";
  } | null;
}

export const planBlob = (sealed: SealedPlan, request: RequestId): NewBlob => ({
  tag: "plan",
  bytes: canonicalBytes(sealed),
  type: "application/json",
  sealFor: request,
});

/**
 * The plan of a request, checked against the digest that was approved (D2: this, and nothing of the call, is run).
 * @throws CountersignError `BLOB_MISSING`, `BLOB_CORRUPT`, `GRANT_INVALID` where nothing was planned
 */
export async function readPlan(blobs: BlobStore, record: RequestRecord): Promise<SealedPlan> {
  const ref = record.planned?.plan;
  if (ref === undefined || ref === null)
    throw new CountersignError("GRANT_INVALID", `${record.id} has no plan`);
  return JSON.parse(new TextDecoder().decode(await blobs.get("plan", ref, record.id))) as SealedPlan;
}

/** A sealed file of a request by its name, checked against the digest that was approved. */
export async function readSealedFile(
  blobs: BlobStore,
  record: RequestRecord,
  name: string,
): Promise<Uint8Array> {
  const ref = record.planned?.files.find((file) => file.name === name);
  if (ref === undefined)
    throw new CountersignError("BLOB_MISSING", `${record.id} has no sealed file "${name}"`);
  return blobs.get("file", ref, record.id);
}
