import type { JsonObject } from "../base/canonical-json.ts";
import { digestJson, isDigest, type Digest, type DigestTag } from "../base/digest.ts";
import type { LogId, RequestId } from "../base/id.ts";
import { err, ok, type Result } from "../base/result.ts";
import { CountersignError, isFault } from "../errors.ts";
import type { BlobRef } from "../request/action-request.ts";
import type { Store } from "../store/store.ts";
import { readCheckpointUnverified, type Isolation } from "./checkpoint.ts";
import { findErasures } from "./erasures.ts";
import type { Entry, EntryKind } from "./entry.ts";
import { passkeyOf } from "./verify-proof.ts";

// A receipt: one file that proves one request offline to whoever holds the log's public key.
//
//   R1. It holds the exact lines of the request's entries, each with its audit path to the signed root.
//   R2. It holds what else the proof of a decision needs: entry 0 with the log's key and the entries that replaced that
//       key, the adopted policies that say whose key it was, and consistency proofs from the checkpoints that approvers saw.
//   R3. Its size grows with the request (and, by a few hashes, with the logarithm of the log), not with the log.
//   R4. It says with which isolation the gateway ran.

export interface Receipt {
  readonly typ: "countersign.receipt";
  readonly v: 1;
  readonly request: RequestId;
  /** The key of entry 0; the key in force is reached from it by the `log.key_rotated` among the entries. */
  readonly log: { readonly id: LogId; readonly key: string };
  /** What the checkpoint says, repeated where a person looks first. */
  readonly isolation: Isolation | null;
  /** Signed note, verbatim. */
  readonly checkpoint: string;
  /** By sequence number: entry 0, replacements of the log's key, adoptions, the request's entries and its leases. */
  readonly entries: readonly ReceiptEntry[];
  /** Earlier sizes that approvers saw: RFC 6962 consistency proofs to the checkpoint. */
  readonly witnessed: readonly {
    readonly size: number;
    readonly root: Digest;
    readonly proof: readonly string[];
  }[];
  /** Resolved policies: RFC 8785 bytes hash to the revision; null where this release can't resolve it any more. */
  readonly policies: readonly { readonly revision: Digest; readonly document: JsonObject | null }[];
  readonly blobs: readonly ReceiptBlob[];
  /** Documents that were asked for and are gone. */
  readonly missing: readonly { readonly tag: DigestTag; readonly digest: Digest }[];
}

export interface ReceiptEntry {
  readonly seq: number;
  /** The line as it was hashed, without its newline. */
  readonly line: string;
  /** RFC 6962 §2.1.1 audit path to the checkpoint's root, lower-case hex, the leaf's sibling first. */
  readonly proof: readonly string[];
}

export interface ReceiptBlob {
  readonly tag: DigestTag;
  readonly digest: Digest;
  readonly type: string;
  /** Hex. */
  readonly salt: string;
  /** Base64. */
  readonly bytes: string;
}

/** What building a receipt needs of the store. */
export type ReceiptSource = Pick<
  Store,
  "logId" | "lines" | "entriesOf" | "checkpoint" | "inclusionProof" | "consistencyProof"
> & { readonly blobs: Pick<Store["blobs"], "get" | "salt"> };

export interface ReceiptParts {
  readonly store: ReceiptSource;
  readonly requestId: RequestId;
  /** Also the documents that people were shown and that the agent gave. */
  readonly withBlobs: boolean;
  /** Sequence numbers of all `policy.adopted` entries, ascending. Absent: the log is read for them. */
  readonly adoptions?: readonly number[];
  /** The same of all `log.key_rotated` entries. */
  readonly rotations?: readonly number[];
  /** Entries about a passkey: what led to it, and its end. Absent: the log is read for them. */
  readonly credentials?: (id: string) => readonly number[];
  /** The resolved document of a policy text; null where it does not load. */
  readonly resolvePolicy: (text: Uint8Array) => JsonObject | null;
}

interface Line {
  readonly seq: number;
  readonly text: string;
  readonly entry: Entry;
}

/** @throws CountersignError `REQUEST_NOT_FOUND`, `LOG_CORRUPT` */
export async function buildReceipt(parts: ReceiptParts): Promise<Receipt> {
  const { store, requestId } = parts;
  const own: Line[] = [];
  for await (const { line } of store.entriesOf(requestId)) own.push(toLine(line));
  if (own.length === 0) throw new CountersignError("REQUEST_NOT_FOUND", `no entry of ${requestId}`);

  const leases = await leasesOf(store, requestId, own);
  const credentials = await credentialsOf(parts, own);
  const adoptions = await adoptionsOf(parts, [...credentials, ...own]);
  const first = await lineAt(store, 0);
  const rotations = await rotationsOf(parts);
  const { blobs, missing } = parts.withBlobs ? await blobsOf(store, [...adoptions, ...own]) : NO_BLOBS;
  // What is gone is shown to have been erased on purpose; only then is the rest of the log read for it.
  const last = own.at(-1) as Line;
  const erasures = missing.length === 0 ? [] : await findErasures(store, requestId, last.seq + 1);
  // Taken last, so that it covers every line that was read.
  const checkpoint = await store.checkpoint();
  const head = readCheckpointUnverified(checkpoint);
  if (!head.ok) throw new CountersignError("LOG_CORRUPT", `the store's own checkpoint: ${head.error}`);
  const { size, isolation } = head.value;

  const lines = new Map(
    [
      first,
      ...rotations,
      ...adoptions,
      ...own,
      ...credentials,
      ...leases,
      ...erasures.map(({ line }) => toLine(line)),
    ].map((line) => [line.seq, line]),
  );
  const entries: ReceiptEntry[] = [];
  for (const { seq, text } of [...lines.values()].sort((a, b) => a.seq - b.seq)) {
    entries.push({ seq, line: text, proof: await store.inclusionProof(seq, size) });
  }
  return {
    typ: "countersign.receipt",
    v: 1,
    request: requestId,
    log: { id: store.logId, key: first.entry.kind === "log.opened" ? first.entry.data.key : "" },
    isolation,
    checkpoint,
    entries,
    witnessed: await witnessedBy(store, own, size),
    policies: await policiesOf(parts, adoptions),
    blobs,
    missing,
  };
}

function toLine({ seq, bytes }: { readonly seq: number; readonly bytes: Uint8Array }): Line {
  // A byte order mark would be lost otherwise, and with it the bytes that were hashed.
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  return { seq, text, entry: JSON.parse(text) as Entry };
}

async function lineAt(store: ReceiptSource, seq: number): Promise<Line> {
  for await (const line of store.lines(seq)) return toLine(line);
  throw new CountersignError("LOG_CORRUPT", `the log has no entry ${seq}`);
}

/** Leases stand beside their dispatch, in the same batch (X3). */
async function leasesOf(
  store: ReceiptSource,
  request: RequestId,
  own: readonly Line[],
): Promise<readonly Line[]> {
  const dispatch = own.find(({ entry }) => entry.kind === "execution.dispatched");
  if (dispatch === undefined) return [];
  for await (const stored of store.lines(dispatch.seq + 1)) {
    const line = toLine(stored);
    return line.entry.kind === "lease.opened" && line.entry.data.request === request ? [line] : [];
  }
  return [];
}

/**
 * What shows whose passkeys decided or settled: how each was enrolled, by whose leave, and when it was removed, if it was. Entries
 * after the request's last say nothing about it.
 */
async function credentialsOf(parts: ReceiptParts, own: readonly Line[]): Promise<readonly Line[]> {
  const used = new Set(
    own.flatMap(({ entry }) => {
      const proof =
        entry.kind === "decision.recorded"
          ? entry.data.proof
          : entry.kind === "execution.resolved"
            ? entry.data.signed?.proof
            : undefined;
      return (proof === undefined ? null : passkeyOf(proof)) ?? [];
    }),
  );
  if (used.size === 0) return [];
  const before = (own.at(-1) as Line).seq;
  if (parts.credentials !== undefined) {
    const seqs = new Set([...used].flatMap(parts.credentials).filter((seq) => seq < before));
    return Promise.all([...seqs].map((seq) => lineAt(parts.store, seq)));
  }
  // Without an index every entry about a passkey is carried: more than is needed, and nothing that is missing.
  const found: Line[] = [];
  for await (const line of parts.store.lines(0)) {
    if (line.seq >= before) break;
    const front = Buffer.from(line.bytes.buffer, line.bytes.byteOffset, Math.min(line.bytes.length, 128));
    if (front.includes('"kind":"credential.')) found.push(toLine(line));
  }
  return found;
}

/** The adoption in force at each revision that an entry of the request names. */
async function adoptionsOf(parts: ReceiptParts, own: readonly Line[]): Promise<readonly Line[]> {
  const { store } = parts;
  const wanted = new Set(own.flatMap(({ entry }) => (entry.policy === null ? [] : [entry.policy])));
  const before = (own.at(-1) as Line).seq;
  const found: Line[] = [];
  const consider = (line: Line): void => {
    if (line.entry.kind === "policy.adopted" && wanted.delete(line.entry.data.revision)) found.push(line);
  };
  if (parts.adoptions !== undefined) {
    for (const seq of parts.adoptions.filter((at) => at < before).reverse()) {
      if (wanted.size === 0) break;
      consider(await lineAt(store, seq));
    }
    return found;
  }
  for await (const line of store.lines(0)) {
    if (line.seq >= before || wanted.size === 0) break;
    if (isOf(line.bytes, "policy.adopted")) consider(toLine(line));
  }
  return found;
}

/** Every replacement of the log's key: the checkpoint is signed by the newest one. */
async function rotationsOf({ store, rotations }: ReceiptParts): Promise<readonly Line[]> {
  const found: Line[] = [];
  if (rotations !== undefined) {
    for (const seq of rotations) found.push(await lineAt(store, seq));
    return found;
  }
  for await (const line of store.lines(0)) if (isOf(line.bytes, "log.key_rotated")) found.push(toLine(line));
  return found;
}

/** Whether the head of the line names this kind. */
const isOf = (bytes: Uint8Array, kind: EntryKind): boolean =>
  Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 128)).includes(`"kind":"${kind}"`);

async function policiesOf(parts: ReceiptParts, adoptions: readonly Line[]): Promise<Receipt["policies"]> {
  const policies: Receipt["policies"][number][] = [];
  for (const { entry } of adoptions) {
    if (entry.kind !== "policy.adopted") continue;
    const { revision, text } = entry.data;
    const bytes = await readBlob(parts.store, "policy", text);
    const document = bytes === null ? null : parts.resolvePolicy(bytes);
    const isOurs = document !== null && digestJson("policy", document) === revision;
    policies.push({ revision, document: isOurs ? document : null });
  }
  return policies;
}

async function witnessedBy(
  store: ReceiptSource,
  own: readonly Line[],
  size: number,
): Promise<Receipt["witnessed"]> {
  const seen = new Map<string, { readonly size: number; readonly root: Digest }>();
  for (const { entry } of own) {
    const log = entry.kind === "decision.recorded" ? entry.data.statement.log : null;
    if (log !== null && log.size <= size) seen.set(`${log.size} ${log.root}`, log);
  }
  const witnessed: Receipt["witnessed"][number][] = [];
  for (const { size: at, root } of seen.values()) {
    witnessed.push({ size: at, root, proof: await store.consistencyProof(at, size) });
  }
  return witnessed;
}

const NO_BLOBS: Pick<Receipt, "blobs" | "missing"> = { blobs: [], missing: [] };

/** Record blobs only: what is sealed is for nobody's eyes, and its key may be gone. */
function recordBlobs({ entry }: Line): readonly { readonly tag: DigestTag; readonly ref: BlobRef | null }[] {
  switch (entry.kind) {
    case "policy.adopted":
      return [{ tag: "policy", ref: entry.data.text }];
    case "request.received":
      return [
        { tag: "arguments", ref: entry.data.maskedArguments },
        { tag: "reasoning", ref: entry.data.reasoning },
      ];
    case "request.planned":
      return [{ tag: "view", ref: entry.data.view }];
    case "execution.settled":
      return [{ tag: "result", ref: entry.data.output }];
    default:
      return [];
  }
}

async function blobsOf(
  store: ReceiptSource,
  lines: readonly Line[],
): Promise<Pick<Receipt, "blobs" | "missing">> {
  const blobs: ReceiptBlob[] = [];
  const missing: Receipt["missing"][number][] = [];
  for (const { tag, ref } of lines.flatMap(recordBlobs)) {
    if (ref === null) continue;
    const { digest, type } = ref;
    const bytes = await readBlob(store, tag, ref);
    if (bytes === null) missing.push({ tag, digest });
    else {
      const salt = Buffer.from(await store.blobs.salt(ref)).toString("hex");
      blobs.push({ tag, digest, type, salt, bytes: Buffer.from(bytes).toString("base64") });
    }
  }
  return { blobs, missing };
}

/** Null for a document that was erased: that is no fault of the receipt. */
async function readBlob(store: ReceiptSource, tag: DigestTag, ref: BlobRef): Promise<Uint8Array | null> {
  try {
    return await store.blobs.get(tag, ref);
  } catch (error) {
    if (isFault(error, "BLOB_MISSING")) return null;
    throw error;
  }
}

/** The receipt's file. */
export const formatReceipt = (receipt: Receipt): string => `${JSON.stringify(receipt, null, 2)}\n`;

const MAX_RECEIPT_LENGTH = 256 * 1024 * 1024;

/** A receipt as it came from outside: its shape is checked, nothing it says is. */
export function parseReceipt(text: string): Result<Receipt, string> {
  if (text.length > MAX_RECEIPT_LENGTH) return err("the file is too large for a receipt");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return err("the file is not JSON");
  }
  const wrong = whatIsWrong(value);
  return wrong === null ? ok(value as Receipt) : err(wrong);
}

type Check = (value: unknown) => boolean;
const isText: Check = (value) => typeof value === "string" && value.isWellFormed();
const isCount: Check = (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
const isHash: Check = (value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
const isHex: Check = (value) => typeof value === "string" && /^([0-9a-f]{2})*$/.test(value);
const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const list =
  (item: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(item);
const shape =
  (members: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isObject(value) && Object.entries(members).every(([name, check]) => check(value[name]));

const MEMBERS: Readonly<Record<string, Check>> = {
  request: isText,
  log: shape({ id: isText, key: isText }),
  isolation: (value) => value === null || value === "none" || value === "service",
  checkpoint: isText,
  entries: list(shape({ seq: isCount, line: isText, proof: list(isHash) })),
  witnessed: list(shape({ size: isCount, root: isDigest, proof: list(isHash) })),
  policies: list(shape({ revision: isDigest, document: (value) => value === null || isObject(value) })),
  blobs: list(shape({ tag: isText, digest: isDigest, type: isText, salt: isHex, bytes: isText })),
  missing: list(shape({ tag: isText, digest: isDigest })),
};

function whatIsWrong(value: unknown): string | null {
  if (!isObject(value) || value["typ"] !== "countersign.receipt") return "the file is not a receipt";
  if (value["v"] !== 1) return `receipts of version ${String(value["v"])} are not known to this release`;
  for (const [name, check] of Object.entries(MEMBERS)) {
    if (!check(value[name])) return `the receipt's ${name} is malformed`;
  }
  return null;
}
