import { dirname, join } from "node:path";
import { digestBytes, isDigest, newSalt, SALT_BYTES, type Digest } from "../../base/digest.ts";
import { isId, type RequestId } from "../../base/id.ts";
import { CountersignError } from "../../errors.ts";
import type { BlobRef } from "../../request/action-request.ts";
import type { BlobStore, NewBlob, PlacedBlobs } from "../store.ts";
import { isNoRoom, readWhole, writeWhole, type Files } from "./files.ts";
import { createRequestKeys, seal, unseal } from "./seal.ts";

// Documents beside the log, named by their salted digest.
//
//   B1. A document is durable, and so is its name, before `put` resolves, and before `durable` of `place` does.
//       What a crash leaves half written is named by no entry, or by one that nothing followed from, and the digest
//       gives it away.
//   B2. What is read is checked against the digest, whatever the file system says.
//   B3. Salts are random: equal documents get different digests, and nobody can confirm a guess from the log.
//   B4. Names come from digests and ids that were checked for their form: no entry can point outside.

export interface BlobParts {
  readonly files: Files;
  readonly blobsDir: string;
  readonly keysDir: string;
}

/** Documents in `blobs/<aa>/<hex>` and, encrypted per request, `blobs/sealed/<request>/<hex>`. */
export function createBlobStore({ files, blobsDir, keysDir }: BlobParts): BlobStore {
  const keys = createRequestKeys(files, keysDir);
  /** Directories whose names this process knows to be on disk: whoever made one may have died before its flush. */
  const named = new Set<string>();
  const sealedRoot = join(blobsDir, "sealed");
  /** Makes a directory; it and those above it whose names have to be flushed. */
  const openDirectory = (directory: string): readonly string[] => {
    if (named.has(directory) && files.exists(directory)) return [];
    const above = directory === blobsDir || directory === keysDir ? [] : openDirectory(dirname(directory));
    files.makeDirectory(directory);
    return [...above, directory];
  };

  const sealedDir = (request: RequestId): string => {
    if (!isId("req", request)) throw missing(`"${String(request)}" is no request id`);
    return join(sealedRoot, request);
  };
  const pathOf = (digest: Digest, request?: RequestId): string => {
    if (!isDigest(digest)) throw missing(`"${String(digest)}" is no digest`);
    const hex = digest.slice(7);
    return request === undefined ? join(blobsDir, hex.slice(0, 2), hex) : join(sealedDir(request), hex);
  };

  /** salt ‖ bytes. */
  const readSalted = (ref: BlobRef, request?: RequestId): Buffer => {
    const stored = readWhole(files, pathOf(ref.digest, request));
    if (stored === null) throw missing(`document ${ref.digest} is gone`);
    const salted = request === undefined ? stored : openSealed(stored, ref, request);
    if (salted === null || salted.length !== SALT_BYTES + ref.bytes) throw corrupt(ref);
    return salted;
  };
  const openSealed = (stored: Buffer, ref: BlobRef, request: RequestId): Buffer | null => {
    const key = keys.read(request);
    if (key === null) throw missing(`the key of ${request} was erased`);
    return unseal(key, stored, ref.digest);
  };

  const write = (path: string, bytes: Uint8Array): void => {
    const fd = files.open(path, "wx");
    try {
      writeWhole(files, fd, bytes, 0);
    } finally {
      files.close(fd);
    }
  };
  const flush = async (path: string): Promise<void> => {
    const fd = files.open(path, "r+");
    try {
      await files.flush(fd);
    } finally {
      files.close(fd);
    }
  };
  /** The error that says what to do where there was no room; what was written of the documents is removed. */
  const clean = (documents: readonly Document[], cause: unknown): unknown => {
    if (!isNoRoom(cause)) return cause;
    for (const { path } of documents) files.unlink(path);
    return new CountersignError("STORE_FULL", "the disk has no room for these documents; none was kept", {
      cause,
    });
  };

  /** Writes everything, so that it can be read; what then has to be flushed, in two steps (B1). */
  const writeAll = (
    documents: readonly Document[],
    requests: readonly RequestId[],
  ): { readonly paths: readonly string[]; readonly directories: readonly string[]; settled(): void } => {
    const directories = new Set(documents.map(({ path }) => dirname(path)));
    if (requests.length > 0) directories.add(keys.directory);
    const unnamed = new Set([...directories].flatMap(openDirectory));
    const made = requests.map((request) => [request, keys.ensure(request)] as const);
    const requestKeys = new Map(made.map(([request, { key }]) => [request, key]));
    for (const document of documents) write(document.path, stored(document, requestKeys));
    return {
      paths: [...made.map(([, { path }]) => path), ...documents.map(({ path }) => path)],
      directories: [...new Set([...directories, ...Array.from(unnamed, dirname)])],
      settled() {
        // Not the directories of requests: there is one for each, and it is used once or twice.
        for (const directory of unnamed) if (dirname(directory) !== sealedRoot) named.add(directory);
      },
    };
  };

  const place = (blobs: readonly NewBlob[]): PlacedBlobs => {
    const documents = blobs.map((blob) => toDocument(blob, pathOf));
    const requests = [...new Set(blobs.flatMap(({ sealFor }) => sealFor ?? []))];
    let written: ReturnType<typeof writeAll>;
    try {
      written = writeAll(documents, requests);
    } catch (cause) {
      throw clean(documents, cause);
    }
    // All documents and keys together, then all their names: what waits for the disk waits at the same time.
    const settle = async (): Promise<void> => {
      await together(written.paths, flush);
      await together(written.directories, files.flushDirectory);
      written.settled();
    };
    const durable = settle().catch((cause: unknown) => {
      throw clean(documents, cause);
    });
    // Whoever placed them looks at it later; until then it is no unhandled rejection.
    durable.catch(() => undefined);
    return { refs: documents.map(({ ref }) => ref), durable };
  };

  const eraseRecords = async (refs: readonly BlobRef[]): Promise<void> => {
    const paths = refs.map(({ digest }) => pathOf(digest));
    for (const path of paths) files.unlink(path);
    // Also where it was gone: whoever removed it may have died before its name was off the disk.
    const directories = [...new Set(paths.map((path) => dirname(path)))].filter((one) => files.exists(one));
    await Promise.all(directories.map((directory) => files.flushDirectory(directory)));
  };

  return {
    async put(blobs) {
      const { refs, durable } = place(blobs);
      await durable;
      return refs;
    },
    async place(blobs) {
      return place(blobs);
    },
    async get(tag, ref, sealedFor) {
      const salted = readSalted(ref, sealedFor);
      const bytes = salted.subarray(SALT_BYTES);
      if (digestBytes(tag, bytes, salted.subarray(0, SALT_BYTES)) !== ref.digest) throw corrupt(ref);
      return bytes;
    },
    async salt(ref, sealedFor) {
      return readSalted(ref, sealedFor).subarray(0, SALT_BYTES);
    },
    sealedRequests: () => Promise.resolve(keys.list()),
    async eraseSealed(request) {
      const directory = sealedDir(request);
      // The key first: from here on the documents are noise, also if we do not get to remove them.
      await keys.erase(request);
      files.removeTree(directory);
      const parent = dirname(directory);
      if (files.exists(parent)) await files.flushDirectory(parent);
    },
    erase: (ref) => eraseRecords([ref]),
    eraseRecords,
  };
}

/** So many files are open at once at most: a plan may have thousands. */
const AT_ONCE = 32;

/** Does it to all of them, several at a time; where one fails, the others have ended too. */
async function together(paths: readonly string[], work: (path: string) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let path = paths[next++]; path !== undefined; path = paths[next++]) await work(path);
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(AT_ONCE, paths.length) }, lane));
  const failed = lanes.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

interface Document {
  readonly path: string;
  /** salt ‖ bytes. */
  readonly salted: Buffer;
  readonly sealFor: RequestId | undefined;
  readonly ref: BlobRef;
}

function toDocument(blob: NewBlob, pathOf: (digest: Digest, request?: RequestId) => string): Document {
  const salt = newSalt();
  const digest = digestBytes(blob.tag, blob.bytes, salt);
  return {
    path: pathOf(digest, blob.sealFor),
    salted: Buffer.concat([salt, blob.bytes]),
    sealFor: blob.sealFor,
    ref: { digest, bytes: blob.bytes.length, type: blob.type },
  };
}

/** What lies on disk. A document that is to be sealed and has no key is never written in the clear. */
function stored(document: Document, keys: ReadonlyMap<RequestId, Buffer>): Buffer {
  if (document.sealFor === undefined) return document.salted;
  const key = keys.get(document.sealFor);
  if (key === undefined) throw missing(`no key for ${document.sealFor}`);
  return seal(key, document.salted, document.ref.digest);
}

const missing = (what: string): CountersignError => new CountersignError("BLOB_MISSING", what);
const corrupt = (ref: BlobRef): CountersignError =>
  new CountersignError("BLOB_CORRUPT", `document ${ref.digest} is not what was stored`, {
    hint: "restore it from a copy; the log shows which request it belongs to",
  });
