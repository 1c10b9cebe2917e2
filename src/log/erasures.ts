import { CountersignError } from "../errors.ts";
import type { Store, StoredLine } from "../store/store.ts";
import { decodeEntry } from "./encode.ts";
import type { Entry } from "./entry.ts";

/** Subject of a request's erasures: not the request itself, which has ended. */
export const erasureSubject = (request: string): string => `erasure:${request}`;

/** One entry that says which record documents of a request were erased. */
export interface ErasureLine {
  readonly line: StoredLine;
  readonly entry: Entry<"blob.erased">;
}

/** The erasures of a request's record documents from entry `fromSeq` on, oldest first. Reads the log to its end. */
export async function findErasures(
  store: Pick<Store, "lines">,
  request: string,
  fromSeq: number,
): Promise<readonly ErasureLine[]> {
  const needle = Buffer.from(`"kind":"blob.erased","subject":"${erasureSubject(request)}"`);
  const found: ErasureLine[] = [];
  for await (const line of store.lines(fromSeq)) {
    const bytes = Buffer.from(line.bytes.buffer, line.bytes.byteOffset, line.bytes.length);
    if (!bytes.includes(needle)) continue;
    const decoded = decodeEntry(bytes.toString("utf8"), line.seq);
    if (!decoded.ok) throw new CountersignError("LOG_CORRUPT", `entry ${line.seq}: ${decoded.error}`);
    const entry = decoded.value;
    if (entry.kind !== "blob.erased" || entry.data.documents === undefined) continue;
    found.push({ line: { seq: line.seq, bytes: Buffer.from(bytes) }, entry });
  }
  return found;
}
