import type { Json } from "../base/canonical-json.ts";
import type { RequestId } from "../base/id.ts";
import { CountersignError, isFault } from "../errors.ts";
import { erasureSubject, findErasures } from "../log/erasures.ts";
import type { Entry, EntryDraft } from "../log/entry.ts";
import type { BlobRef } from "../request/action-request.ts";
import { recordDocuments, type RecordDocument, type RecordName } from "../request/record-documents.ts";
import type { Store } from "../store/store.ts";
import { historyOf } from "./history.ts";
import type { HomeState } from "./state.ts";

// The documents beside the log that say what a request was: read, or told to be erased and when.
//
//   L1. The entry that says what goes is durable before anything goes. So a document that is gone without an entry was
//       lost, and one that an entry calls erased is erased again until it is gone (request/erasures.ts).
//   Nothing is erased of a request that is open or whose effect still has to be ended.

/** When, why and by whom documents of a request were erased. */
export type Erasure = Pick<Entry<"blob.erased">, "seq" | "time"> &
  Pick<Entry<"blob.erased">["data"], "why" | "by">;

/** A document that an entry names, as far as it is there. */
export type Kept<T = Json> =
  | { readonly state: "kept"; readonly value: T }
  | { readonly state: "erased"; readonly erasure: Erasure }
  /** Gone, and no entry says why: lost. */
  | { readonly state: "lost" }
  /** There, and not what the entry names: somebody touched it. */
  | { readonly state: "changed" };

/** Why a retention's entry stands there; a person's own words otherwise. */
export const RETENTION = "retention";

export interface Records {
  /** The erasures of a request's documents, oldest first. Reads the log from the request's end on. */
  erasures(history: readonly Entry[]): Promise<readonly Erasure[]>;
  /** The newest erasure, where documents of the request are gone; costs nothing where all are there. */
  erased(history: readonly Entry[]): Promise<Erasure | null>;
  /** Parsed JSON of a record document. `history` is its request's. */
  read(document: RecordDocument, history: readonly Entry[]): Promise<Kept>;
  /** All record documents of a request by name, with one look at the log for those that are gone. */
  readAll(history: readonly Entry[]): Promise<ReadonlyMap<RecordName, Kept>>;
  /**
   * Erases what is left of an ended request's documents, because a person says so. The number of documents.
   * @throws CountersignError `ERASURE_REFUSED` while the request, or what it granted, is open
   */
  erase(request: RequestId, why: string, by: string): Promise<number>;
}

export interface RecordsParts {
  readonly store: Pick<Store, "append" | "blobs" | "catchUp" | "entriesOf" | "lines">;
  readonly state: Pick<HomeState, "requests" | "executions">;
}

/** What of a person's words is kept. */
const LONGEST_WHY = 500;

export function createRecords(
  parts: RecordsParts & { /** No secret stands in an entry (L3). */ maskText(text: string): string },
): Records {
  const { store, state } = parts;

  const erasures: Records["erasures"] = async (history) => {
    const last = history.at(-1);
    if (last === undefined) return [];
    const lines = await findErasures(store, last.subject, last.seq + 1);
    return lines.map(({ entry: { seq, time, data } }) => ({
      ...{ seq, time, why: data.why },
      ...(data.by === undefined ? {} : { by: data.by }),
    }));
  };

  const read = async (
    { tag, ref }: RecordDocument,
    gone: () => Promise<readonly Erasure[]>,
  ): Promise<Kept> => {
    try {
      const text = new TextDecoder().decode(await store.blobs.get(tag, ref));
      return { state: "kept", value: JSON.parse(text) as Json };
    } catch (error) {
      if (isFault(error, "BLOB_CORRUPT")) return { state: "changed" };
      if (!isFault(error, "BLOB_MISSING")) throw error;
      const erasure = (await gone()).at(-1);
      return erasure === undefined ? { state: "lost" } : { state: "erased", erasure };
    }
  };

  return {
    erasures,

    async erased(history) {
      const documents = recordDocuments(history);
      const left = await stillThere(store, documents);
      return left.length === documents.length ? null : ((await erasures(history)).at(-1) ?? null);
    },

    read: (document, history) =>
      read(
        document,
        once(() => erasures(history)),
      ),

    async readAll(history) {
      const gone = once(() => erasures(history));
      const all = new Map<RecordName, Kept>();
      for (const document of recordDocuments(history)) all.set(document.name, await read(document, gone));
      return all;
    },

    async erase(request, why, by) {
      await store.catchUp();
      if (state.requests.open.has(request)) {
        throw new CountersignError("ERASURE_REFUSED", `${request} is open: people decide on what it shows`, {
          hint: "deny or withdraw it first, or let it end",
        });
      }
      if (hasOpenLease(state, request)) {
        throw new CountersignError("ERASURE_REFUSED", `what ${request} granted has not been ended yet`, {
          hint: "let the gateway end it first: countersign log list",
        });
      }
      // To the log's end: a result that came after the outcome stands behind it.
      const entries: Entry[] = [];
      for await (const { entry } of store.entriesOf(request)) entries.push(entry);
      const left = await stillThere(store, recordDocuments(entries));
      const isSealed = (await store.blobs.sealedRequests((one) => one === request)).length > 0;
      if (left.length === 0 && !isSealed) return 0;
      await store.append({
        expect: [],
        newKeys: [],
        entries: [
          erasedEntry(request, left, { why: parts.maskText(why).slice(0, LONGEST_WHY), by }),
          ...(isSealed ? [sealedErased(request)] : []),
        ],
      });
      await store.blobs.eraseRecords(left);
      if (isSealed) await store.blobs.eraseSealed(request);
      return left.length;
    },
  };
}

/** The entry that says which record documents go; appended before they do. */
export const erasedEntry = (
  request: RequestId,
  documents: readonly BlobRef[],
  why: { readonly why: string; readonly by?: string; readonly through?: number },
): EntryDraft<"blob.erased"> => ({
  kind: "blob.erased",
  subject: erasureSubject(request),
  policy: null,
  data: { digest: null, request, documents: documents.map(({ digest }) => digest), ...why },
});

/** The entry for the key of an ended request's sealed documents. */
export const sealedErased = (request: RequestId): EntryDraft<"blob.erased"> => ({
  kind: "blob.erased",
  subject: erasureSubject(request),
  policy: null,
  data: { digest: null, why: "the request ended", request },
});

export const hasOpenLease = (state: Pick<HomeState, "executions">, request: RequestId): boolean =>
  [...state.executions.leases.values()].some(({ opened }) => opened.request === request);

/** Asks when it is first needed, and no second time. */
function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  return () => (answer ??= ask());
}

/** The documents that are there still. */
export async function stillThere(
  store: Pick<Store, "blobs">,
  documents: readonly RecordDocument[],
): Promise<readonly BlobRef[]> {
  const left: BlobRef[] = [];
  for (const { ref } of documents) {
    try {
      await store.blobs.salt(ref);
    } catch (error) {
      if (isFault(error, "BLOB_MISSING")) continue;
      if (!isFault(error, "BLOB_CORRUPT")) throw error;
    }
    left.push(ref);
  }
  return left;
}

/** Erases what the log says is erased already: what a process that died in between has left. */
export async function eraseAgain(store: RecordsParts["store"], request: RequestId): Promise<void> {
  const documents = recordDocuments(await historyOf(store, request));
  await store.blobs.eraseRecords(documents.map(({ ref }) => ref));
}
