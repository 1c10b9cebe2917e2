import { newSalt, saltedDocument } from "../base/digest.ts";
import type { SealedPlan } from "../execution/sealed-plan.ts";
import type { BlobRef } from "../request/action-request.ts";
import type { BlobStore, NewBlob } from "../store/store.ts";
import {
  hasReasons,
  jsonDocument,
  maskedDocument,
  type Masker,
  type PlannedEvidence,
  type Received,
  type StoredEvidence,
} from "./evidence.ts";

/** Evidence of a request that was planned. */
export type PlannedRequest = StoredEvidence & { readonly planned: NonNullable<StoredEvidence["planned"]> };

export interface ReadEvidence {
  /** Of all documents, those that are named and not kept included. */
  readonly bytes: number;
  store(blobs: Pick<BlobStore, "place">): Promise<PlannedRequest>;
}

/**
 * What the gate keeps of an allowed read. Nothing of it is sealed: its plan is in memory for as long as it runs, and a
 * sealed document is erased when its request ends. Its entries name what would be sealed by salted digests that nobody
 * can open any more, as those of any ended request.
 */
export function readEvidence(
  mask: Masker,
  { input, reasoning }: Received,
  { preview, view, input: policyInput, maskKeys }: PlannedEvidence,
): ReadEvidence {
  const sealed: SealedPlan = { plan: preview.plan, lease: null };
  const hasReasoning = hasReasons(reasoning);
  const named = [
    jsonDocument("arguments", input),
    jsonDocument("plan", sealed),
    jsonDocument("inputs", policyInput),
  ] as const;
  const kept: readonly NewBlob[] = [
    maskedDocument(mask, named[0], input, maskKeys),
    jsonDocument("view", view),
    maskedDocument(mask, named[2], policyInput, maskKeys),
    ...(hasReasoning ? [jsonDocument("reasoning", mask.view(reasoning))] : []),
  ];
  return {
    bytes: [...kept, ...named].reduce((sum, { bytes }) => sum + bytes.length, 0),
    async store(blobs) {
      const { refs, durable } = await blobs.place(kept);
      const [maskedArguments, viewRef, maskedInputs, reasons] = refs;
      if (maskedArguments === undefined || viewRef === undefined || maskedInputs === undefined) {
        throw new Error("the blob store answered with too few references");
      }
      const [args, plan, inputs] = named;
      return {
        arguments: nameOf(args),
        maskedArguments,
        reasoning: reasons ?? null,
        planned: {
          plan: nameOf(plan),
          files: [],
          view: viewRef,
          inputs: nameOf(inputs),
          maskedInputs,
          sealed,
        },
        durable,
      };
    },
  };
}

const nameOf = ({ tag, bytes, type }: NewBlob): BlobRef => ({
  digest: saltedDocument(tag, bytes, newSalt()).digest,
  bytes: bytes.length,
  type,
});
