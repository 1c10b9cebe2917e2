import { dirname, join } from "node:path";
import { digestBytes, isDigest, newSalt, SALT_BYTES, type Digest } from "../../base/digest.ts";
import { isId, type RequestId } from "../../base/id.ts";
import { CountersignError } from "../../errors.ts";
import type { BlobRef } from "../../request/action-request.ts";
import type { BlobStore, NewBlob } from "../store.ts";
import { isNoRoom, makeDirectories, readWhole, writeWhole, type Files } from "./files.ts";
import { createRequestKeys, seal, unseal } from "./seal.ts";

// Documents beside the log, named by their salted digest.
//
//   B1. A document is durable, and so is its name, before `put` resolves; the entry that names it is appended after.
//       What a crash leaves half written has no entry and is never read.
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

  const sealedDir = (request: RequestId): string => {
    if (!isId("req", request)) throw missing(`"${String(request)}" is no request id`);
    return join(blobsDir, "sealed", request);
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

  const write = async (path: string, bytes: Uint8Array): Promise<void> => {
    const fd = files.open(path, "wx");
    try {
      writeWhole(files, fd, bytes, 0);
      await files.flush(fd);
    } finally {
      files.close(fd);
    }
  };

  return {
    async put(blobs) {
      const written: Document[] = [];
      try {
        const requestKeys = new Map<RequestId, Buffer>();
        for (const { sealFor } of blobs) {
          if (sealFor === undefined || requestKeys.has(sealFor)) continue;
          sealedDir(sealFor);
          requestKeys.set(sealFor, await keys.ensure(sealFor));
        }
        const documents = blobs.map((blob) => toDocument(blob, requestKeys, pathOf));
        const directories = [...new Set(documents.map(({ path }) => dirname(path)))];
        for (const directory of directories) await makeDirectories(files, directory);
        written.push(...documents);
        await Promise.all(documents.map(({ path, stored }) => write(path, stored)));
        await Promise.all(directories.map((directory) => files.flushDirectory(directory)));
        return documents.map(({ ref }) => ref);
      } catch (cause) {
        if (!isNoRoom(cause)) throw cause;
        for (const { path } of written) files.unlink(path);
        throw new CountersignError("STORE_FULL", "the disk has no room for these documents; none was kept", {
          cause,
        });
      }
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
    async erase(ref) {
      const path = pathOf(ref.digest);
      if (files.unlink(path)) await files.flushDirectory(dirname(path));
    },
  };
}

interface Document {
  readonly path: string;
  readonly stored: Buffer;
  readonly ref: BlobRef;
}

function toDocument(
  blob: NewBlob,
  keys: ReadonlyMap<RequestId, Buffer>,
  pathOf: (digest: Digest, request?: RequestId) => string,
): Document {
  const salt = newSalt();
  const digest = digestBytes(blob.tag, blob.bytes, salt);
  const salted = Buffer.concat([salt, blob.bytes]);
  const key = blob.sealFor === undefined ? undefined : keys.get(blob.sealFor);
  return {
    path: pathOf(digest, blob.sealFor),
    stored: key === undefined ? salted : seal(key, salted, digest),
    ref: { digest, bytes: blob.bytes.length, type: blob.type },
  };
}

const missing = (what: string): CountersignError => new CountersignError("BLOB_MISSING", what);
const corrupt = (ref: BlobRef): CountersignError =>
  new CountersignError("BLOB_CORRUPT", `document ${ref.digest} is not what was stored`, {
    hint: "restore it from a copy; the log shows which request it belongs to",
  });
