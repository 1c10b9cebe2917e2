import type { Digest } from "../base/digest.ts";
import type { LogId, RequestId } from "../base/id.ts";
import type { Entry, EntryDraft } from "../log/entry.ts";
import type { BlobRef } from "../request/action-request.ts";
import type { DigestTag } from "../base/digest.ts";

// The store's port. Preconditions are data, never functions, so that a database can check them in one transaction.
// The domain folds, decides and appends; on a conflict it folds again and decides again.
//
// Every store keeps these:
//   L1. `append` resolves after the entries are durable, and applies them to the fold only then.
//   L2. Same drafts at the same times give the same bytes and the same root on every store.
//   S1. All entries of one batch are written, or none.
//   S2. `seq` is gapless from 0; `time` never goes back (max of wall clock and the newest entry's time).
//   S3. Listeners and the fold see an entry only when it is durable, in order, once.

export interface Batch {
  /** The newest entry of each subject must be this one; null: the subject has none. */
  readonly expect: readonly { readonly subject: string; readonly newest: number | null }[];
  /** Keys that nobody may hold now. They are not taken by this: the drafts' `keys` take them. */
  readonly newKeys: readonly string[];
  readonly entries: readonly EntryDraft[];
  /**
   * Nobody waits for it: it may ride along with the next batch, for {@link MOST_IDLE_MS} at most. It is lost where the
   * process ends before, as anything is that was not answered yet.
   */
  readonly rides?: true;
}

/** Milliseconds that what rides along waits for company. */
export const MOST_IDLE_MS = 25;

export type AppendResult =
  | { readonly ok: true; readonly entries: readonly Entry[] }
  | { readonly ok: false; readonly conflict: Conflict };

export type Conflict =
  | { readonly kind: "subject"; readonly subject: string; readonly newest: number | null }
  | { readonly kind: "key"; readonly key: string; readonly holder: string };

/** What the store needs of the fold: it applies entries and asks it about preconditions. */
export interface FoldPort {
  /** Number of entries applied. */
  readonly size: number;
  apply(entry: Entry): void;
  /** Sequence number of the subject's newest entry while the subject is open, else null. */
  newest(subject: string): number | null;
  /** True once the subject has been closed recently; an append that expects anything of it conflicts. */
  isClosed(subject: string): boolean;
  /** The subject that holds the key at `now` (epoch ms), or null. */
  holder(key: string, now: number): string | null;
  /** What becomes JSON from which `restore` rebuilds the same fold. Later entries change nothing of it. */
  snapshot(): unknown;
  /** Throws if the snapshot is of another version; the store then replays. */
  restore(snapshot: unknown): void;
}

export interface LogHead {
  readonly size: number;
  readonly root: Digest;
  /** Epoch milliseconds of the newest entry; 0 for an empty log. */
  readonly newestTime: number;
}

export interface StoredLine {
  readonly seq: number;
  /** The exact bytes that were hashed, without the newline. */
  readonly bytes: Uint8Array;
}

export interface Store {
  readonly logId: LogId;
  /** What this process has seen and knows to be durable. */
  head(): LogHead;
  /**
   * @throws CountersignError `STORE_CLOSED` after a failed flush, `STORE_FULL` when nothing was written,
   * `ENTRY_TOO_LARGE`, `ENTRY_FROM_FUTURE`.
   * `onWritten` is called when the batch was accepted and a process that is killed from then on leaves it behind; its
   * flush is under way. A store that can't tell never calls it.
   */
  append(batch: Batch, onWritten?: () => void): Promise<AppendResult>;
  /** Takes in what other processes wrote. */
  catchUp(): Promise<void>;
  /** Lines from `fromSeq` on, up to the head at the time of the call. */
  lines(fromSeq: number): AsyncIterable<StoredLine>;
  /** Entries of one subject, oldest first; cost does not grow with the log before the subject's first entry. */
  entriesOf(subject: RequestId): AsyncIterable<{ readonly entry: Entry; readonly line: StoredLine }>;
  /** Newest first. */
  newestEntries(limit: number): Promise<readonly Entry[]>;
  /** Newest checkpoint: C2SP signed note over the head. */
  checkpoint(): Promise<string>;
  /** Sequence numbers of the entries that replaced the log's key, ascending. */
  rotations(): readonly number[];
  /** RFC 6962 §2.1.1 audit path of entry `seq` in the tree of `size`, lower-case hex. */
  inclusionProof(seq: number, size: number): Promise<readonly string[]>;
  /** RFC 6962 §2.1.2 proof that the tree of `newSize` extends that of `oldSize`, lower-case hex. */
  consistencyProof(oldSize: number, newSize: number): Promise<readonly string[]>;
  /** Root of the tree of the first `size` entries. */
  rootAt(size: number): Promise<Digest>;
  /** Called after entries became durable, also those of other processes. Returns the way to stop. */
  follow(listener: (entries: readonly Entry[]) => void): () => void;
  readonly blobs: BlobStore;
  close(): Promise<void>;
}

/** Documents beside the log. `put` is durable when it resolves; an entry that names a blob is appended after. */
export interface BlobStore {
  put(blobs: readonly NewBlob[]): Promise<readonly BlobRef[]>;
  /**
   * The first half of `put`: the documents are there for every process, and on their way to the disk. For whoever has
   * entries to flush meanwhile; what follows from those entries waits for `durable` too (L1).
   * @throws CountersignError `STORE_FULL` when nothing was kept
   */
  place(blobs: readonly NewBlob[], options?: PlaceOptions): Promise<PlacedBlobs>;
  /** @throws CountersignError `BLOB_MISSING`, `BLOB_CORRUPT` (the content was checked against the digest). */
  get(tag: DigestTag, ref: BlobRef, sealedFor?: RequestId): Promise<Uint8Array>;
  /** The salt, for receipts: whoever holds bytes and salt can recompute the digest. */
  salt(ref: BlobRef, sealedFor?: RequestId): Promise<Uint8Array>;
  /** Erases a request's key: its sealed blobs can never be read again. */
  eraseSealed(request: RequestId): Promise<void>;
  erase(ref: BlobRef): Promise<void>;
  /** Erases record documents in one durable step; those that are gone already are no error. */
  eraseRecords(refs: readonly BlobRef[]): Promise<void>;
  /** Requests, of all or among these, that still have a key, and so sealed documents. */
  sealedRequests(isAmong?: (request: RequestId) => boolean): Promise<readonly RequestId[]>;
}

export interface PlaceOptions {
  /** Nobody waits for them to be durable: that may take {@link MOST_IDLE_MS}, in the company of what comes then. */
  readonly rides?: boolean;
}

export interface PlacedBlobs {
  readonly refs: readonly BlobRef[];
  /** Rejects where the documents may be lost with the machine's power. Has to be waited for. */
  readonly durable: Promise<void>;
}

export interface NewBlob {
  readonly tag: DigestTag;
  readonly bytes: Uint8Array;
  readonly type: string;
  /** Encrypt under this request's own key; absent: a record blob. */
  readonly sealFor?: RequestId;
}
