import type { DigestTag } from "../base/digest.ts";
import type { Entry } from "../log/entry.ts";
import type { BlobRef } from "./action-request.ts";

/** What a record document of a request is, in people's words where they are shown. */
export type RecordName = "arguments" | "reasoning" | "view" | "inputs" | "result" | "late result";

/** One document that lies in the clear beside the log because of a request. */
export interface RecordDocument {
  readonly name: RecordName;
  readonly tag: DigestTag;
  readonly ref: BlobRef;
}

/**
 * The record documents that a request's entries name: what is erased after its time. Policy texts and registrations
 * are of the log, not of a request, and stay.
 */
export function recordDocuments(entries: readonly Entry[]): readonly RecordDocument[] {
  const documents: RecordDocument[] = [];
  const add = (name: RecordName, tag: DigestTag, ref: BlobRef | null): void => {
    if (ref !== null) documents.push({ name, tag, ref });
  };
  for (const entry of entries) {
    switch (entry.kind) {
      case "request.received":
        add("arguments", "arguments", entry.data.maskedArguments);
        add("reasoning", "reasoning", entry.data.reasoning);
        break;
      case "request.planned":
        add("view", "view", entry.data.view);
        add("inputs", "inputs", entry.data.masked_inputs);
        break;
      case "execution.settled":
        add("result", "result", entry.data.output);
        break;
      case "execution.late":
        add("late result", "result", entry.data.output);
        break;
      default:
        break;
    }
  }
  return documents;
}
