import { join } from "node:path";
import {
  digestBytes,
  isDigest,
  newSalt,
  SALT_BYTES,
  saltedDocument,
  type Digest,
  type DigestTag,
} from "../../base/digest.ts";
import { isId, type RequestId } from "../../base/id.ts";
import { CountersignError } from "../../errors.ts";
import type { BlobRef } from "../../request/action-request.ts";
import type { BlobStore, NewBlob, PlacedBlobs, PlaceOptions } from "../store.ts";
import { createDocumentFiles, type Document } from "./document-files.ts";
import { isNoRoom, type Files } from "./files.ts";
import { tryLockFile } from "./lock.ts";
import { isErased } from "./pack-format.ts";
import { createPacks } from "./packs.ts";
import { createSealedPacks } from "./sealed-packs.ts";

// Documents beside the log, named by their salted digest. Small ones of requests lie in packs (packs.ts), so that a call
// makes no file; large ones, and those that are the log's own and stay for ever, in files (document-files.ts).
//
//   B1. A document is durable, and so is its name, before `put` resolves, and before `durable` of `place` does.
//       What a crash leaves half written is named by no entry, or by one that nothing followed from, and the digest
//       gives it away.
//   B2. What is read is checked against the digest, whatever the file system says.
//   B3. Salts are random: equal documents get different digests, and nobody can confirm a guess from the log.
//   B4 stands in document-files.ts, B5 to B8 in packs.ts, B9 in sealed-packs.ts.

export interface BlobParts {
  readonly files: Files;
  readonly blobsDir: string;
  readonly keysDir: string;
  /** A pack of this size is full. */
  readonly packBytes?: number;
}

/** Documents that are larger have a file each: it gives its room back when it is erased. */
const LARGE_BYTES = 64 * 1024;
/** The policies that ran stay as long as the log: a pack that holds one could never go. */
const FOR_EVER: ReadonlySet<DigestTag> = new Set(["policy", "registry"]);

const hasOwnFile = (bytes: number, tag?: DigestTag): boolean =>
  bytes > LARGE_BYTES || (tag !== undefined && FOR_EVER.has(tag));

export type EmbeddedBlobs = BlobStore & { close(): Promise<void> };

export function createBlobStore({ files, blobsDir, keysDir, packBytes }: BlobParts): EmbeddedBlobs {
  const how = { files, lock: tryLockFile, ...(packBytes === undefined ? {} : { fullBytes: packBytes }) };
  const single = createDocumentFiles({ files, blobsDir, keysDir });
  const sealed = createSealedPacks({ ...how, keysDir });
  const records = createPacks({
    ...{ ...how, root: blobsDir, holdsKeys: false },
    directory: join(blobsDir, "packs"),
  });

  /** salt ‖ bytes. */
  const readSalted = (ref: BlobRef, request?: RequestId, tag?: DigestTag): Buffer => {
    const digest = rawDigest(ref.digest);
    if (request !== undefined && !isId("req", request))
      throw missing(`"${String(request)}" is no request id`);
    const inPack = (): Buffer | null =>
      request === undefined ? readRecord(digest) : sealed.read(digest, request);
    const inFile = (): Buffer | null => single.read(ref.digest, request);
    // First where it was put: to find that it is in no pack takes a look at each.
    const salted = hasOwnFile(ref.bytes, tag) ? (inFile() ?? inPack()) : (inPack() ?? inFile());
    if (salted === null) throw missing(`document ${ref.digest} is gone`);
    if (salted.length !== SALT_BYTES + ref.bytes) throw corrupt(ref);
    return salted;
  };
  const readRecord = (digest: Buffer): Buffer | null => {
    const found = records.find(digest);
    if (found !== null && isErased(found.payload))
      throw missing(`document sha256:${digest.toString("hex")} is gone`);
    return found?.payload ?? null;
  };

  const place = (blobs: readonly NewBlob[], { rides = false }: PlaceOptions = {}): PlacedBlobs => {
    const documents = blobs.map(toDocument);
    const isSingle = (i: number): boolean => {
      const { tag, bytes } = blobs[i] as NewBlob;
      return hasOwnFile(bytes.length, tag);
    };
    const singles = documents.filter((_, i) => isSingle(i));
    const packed = documents.filter((_, i) => !isSingle(i));
    const toSeal = packed.flatMap(({ digest, salted, sealFor }) =>
      sealFor === undefined ? [] : [{ digest: rawDigest(digest), plain: salted, request: sealFor }],
    );
    const plain = packed.filter(({ sealFor }) => sealFor === undefined);
    const waits: Promise<void>[] = [];
    /** Where some could not be kept, none is. What this can't remove is named by no entry. */
    const discard = (cause: unknown): unknown => {
      if (!isNoRoom(cause)) return cause;
      void records.erase(plain.map(({ digest }) => rawDigest(digest))).catch(() => undefined);
      single.remove(singles);
      return new CountersignError("STORE_FULL", "the disk has no room for these documents; none was kept", {
        cause,
      });
    };
    try {
      if (toSeal.length > 0) waits.push(sealed.write(toSeal, rides).durable);
      if (plain.length > 0) {
        const asRecords = plain.map(({ digest, salted }) => ({
          ...{ kind: "document" as const, digest: rawDigest(digest), payload: salted },
        }));
        waits.push(records.write(() => asRecords, rides).durable);
      }
      if (singles.length > 0) waits.push(single.write(singles).durable);
    } catch (cause) {
      for (const wait of waits) wait.catch(() => undefined);
      throw discard(cause);
    }
    const durable = allSettled(waits).catch((cause: unknown) => {
      throw discard(cause);
    });
    // Whoever placed them looks at it later; until then it is no unhandled rejection.
    durable.catch(() => undefined);
    return {
      refs: documents.map(({ digest }, i) => {
        const { bytes, type } = blobs[i] as NewBlob;
        return { digest, bytes: bytes.length, type };
      }),
      durable,
    };
  };

  const eraseRecords = async (refs: readonly BlobRef[]): Promise<void> => {
    const gone = new Set(
      (await records.erase(refs.map(({ digest }) => rawDigest(digest)))).map((raw) => raw.toString("hex")),
    );
    await single.erase(refs.map(({ digest }) => digest).filter((digest) => !gone.has(digest.slice(7))));
  };

  return {
    async put(blobs) {
      const { refs, durable } = place(blobs);
      await durable;
      return refs;
    },
    async place(blobs, options) {
      return place(blobs, options);
    },
    async get(tag, ref, sealedFor) {
      const salted = readSalted(ref, sealedFor, tag);
      const bytes = salted.subarray(SALT_BYTES);
      if (digestBytes(tag, bytes, salted.subarray(0, SALT_BYTES)) !== ref.digest) throw corrupt(ref);
      return bytes;
    },
    async salt(ref, sealedFor) {
      return readSalted(ref, sealedFor).subarray(0, SALT_BYTES);
    },
    async sealedRequests(isAmong = () => true) {
      return [...new Set([...sealed.requests(isAmong), ...single.sealedRequests().filter(isAmong)])];
    },
    async eraseSealed(request) {
      if (!isId("req", request)) throw missing(`"${String(request)}" is no request id`);
      await sealed.erase(request);
      await single.eraseSealed(request);
    },
    erase: (ref) => eraseRecords([ref]),
    eraseRecords,
    async close() {
      await Promise.all([records.close(), sealed.close()]);
    },
  };
}

function toDocument(blob: NewBlob): Document {
  if (blob.sealFor !== undefined && !isId("req", blob.sealFor)) {
    throw missing(`"${String(blob.sealFor)}" is no request id`);
  }
  return { ...saltedDocument(blob.tag, blob.bytes, newSalt()), sealFor: blob.sealFor };
}

/** Waits for all of them; where one fails, the others have ended too. */
async function allSettled(waits: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(waits)).find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

/** The 32 bytes of a digest (B4). */
function rawDigest(digest: Digest): Buffer {
  if (!isDigest(digest)) throw missing(`"${String(digest)}" is no digest`);
  return Buffer.from(digest.slice(7), "hex");
}

const missing = (what: string): CountersignError => new CountersignError("BLOB_MISSING", what);
const corrupt = (ref: BlobRef): CountersignError =>
  new CountersignError("BLOB_CORRUPT", `document ${ref.digest} is not what was stored`, {
    hint: "restore it from a copy; the log shows which request it belongs to",
  });
