import { dirname, join } from "node:path";
import { isDigest, type Digest } from "../../base/digest.ts";
import { isId, type RequestId } from "../../base/id.ts";
import { CountersignError } from "../../errors.ts";
import { readWhole, writeWhole, type Files } from "./files.ts";
import { createRequestKeys, seal, unseal } from "./seal.ts";

// Documents in files of their own, for those that are large or of the log itself, and all of homes from before packs:
// `blobs/<aa>/<hex>` and, encrypted per request, `blobs/sealed/<request>/<hex>`, its key in `keys/requests`.
//
//   B4. Names come from digests and ids that were checked for their form: no entry can point outside.

/** A document about to be stored: `salted` is salt ‖ bytes. */
export interface Document {
  readonly digest: Digest;
  readonly salted: Buffer;
  readonly sealFor: RequestId | undefined;
}

export interface DocumentFiles {
  /** Writes all of them, so that they can be read. */
  write(documents: readonly Document[]): { readonly durable: Promise<void> };
  /** Removes what was written of documents that are not kept. */
  remove(documents: readonly Document[]): void;
  /**
   * What is stored: salt ‖ bytes. Null where there is no such file.
   * @throws CountersignError `BLOB_MISSING` where the key was erased, `BLOB_CORRUPT`
   */
  read(digest: Digest, request?: RequestId): Buffer | null;
  eraseSealed(request: RequestId): Promise<void>;
  erase(digests: readonly Digest[]): Promise<void>;
  sealedRequests(): readonly RequestId[];
}

export function createDocumentFiles(parts: {
  readonly files: Files;
  readonly blobsDir: string;
  readonly keysDir: string;
}): DocumentFiles {
  const { files, blobsDir, keysDir } = parts;
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

  const writeOne = (path: string, bytes: Uint8Array): void => {
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

  /** Writes everything, so that it can be read; what then has to be flushed, in two steps (B1). */
  const writeAll = (
    documents: readonly Document[],
    paths: readonly string[],
  ): { readonly paths: readonly string[]; readonly directories: readonly string[]; settled(): void } => {
    const requests = [...new Set(documents.flatMap(({ sealFor }) => sealFor ?? []))];
    const directories = new Set(paths.map((path) => dirname(path)));
    if (requests.length > 0) directories.add(keys.directory);
    const unnamed = new Set([...directories].flatMap(openDirectory));
    const made = requests.map((request) => [request, keys.ensure(request)] as const);
    const requestKeys = new Map(made.map(([request, { key }]) => [request, key]));
    for (const [i, document] of documents.entries())
      writeOne(paths[i] as string, stored(document, requestKeys));
    return {
      paths: [...made.map(([, { path }]) => path), ...paths],
      directories: [...new Set([...directories, ...Array.from(unnamed, dirname)])],
      settled() {
        // Not the directories of requests: there is one for each, and it is used once or twice.
        for (const directory of unnamed) if (dirname(directory) !== sealedRoot) named.add(directory);
      },
    };
  };

  return {
    write(documents) {
      const paths = documents.map(({ digest, sealFor }) => pathOf(digest, sealFor));
      const written = writeAll(documents, paths);
      // All documents and keys together, then all their names: what waits for the disk waits at the same time.
      const settle = async (): Promise<void> => {
        await together(written.paths, flush);
        await together(written.directories, files.flushDirectory);
        written.settled();
      };
      return { durable: settle() };
    },
    remove(documents) {
      for (const { digest, sealFor } of documents) files.unlink(pathOf(digest, sealFor));
    },
    read(digest, request) {
      const bytes = readWhole(files, pathOf(digest, request));
      if (bytes === null || request === undefined) return bytes;
      const key = keys.read(request);
      if (key === null) throw missing(`the key of ${request} was erased`);
      const plain = unseal(key, bytes, digest);
      if (plain !== null) return plain;
      throw new CountersignError("BLOB_CORRUPT", `document ${digest} is not what was stored`, {
        hint: "restore it from a copy; the log shows which request it belongs to",
      });
    },
    sealedRequests: keys.list,
    async eraseSealed(request) {
      const directory = sealedDir(request);
      // The key first: from here on the documents are noise, also if we do not get to remove them.
      if (files.exists(keys.pathOf(request))) await keys.erase(request);
      if (!files.exists(directory)) return;
      files.removeTree(directory);
      await files.flushDirectory(dirname(directory));
    },
    async erase(digests) {
      const paths = digests.map((digest) => pathOf(digest));
      for (const path of paths) files.unlink(path);
      // Also where it was gone: whoever removed it may have died before its name was off the disk.
      const directories = [...new Set(paths.map((path) => dirname(path)))].filter((one) => files.exists(one));
      await Promise.all(directories.map((directory) => files.flushDirectory(directory)));
    },
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

/** What lies on disk. A document that is to be sealed and has no key is never written in the clear. */
function stored(document: Document, keys: ReadonlyMap<RequestId, Buffer>): Buffer {
  if (document.sealFor === undefined) return document.salted;
  const key = keys.get(document.sealFor);
  if (key === undefined) throw missing(`no key for ${document.sealFor}`);
  return seal(key, document.salted, document.digest);
}

const missing = (what: string): CountersignError => new CountersignError("BLOB_MISSING", what);
