import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { join } from "node:path";
import { isId, type RequestId } from "../../base/id.ts";
import { CountersignError } from "../../errors.ts";
import { readWhole, writeWhole, type Files } from "./files.ts";
import { readSealKey } from "./keys.ts";

// Encryption of sealed documents: AES-256-GCM under a random key per request, which lies on disk wrapped by seal.key.
// Erasing the request's key makes all its documents unreadable at once, in backups of the documents too.

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** nonce ‖ ciphertext ‖ tag. */
export function seal(key: Uint8Array, plain: Uint8Array, associated: string): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv("aes-256-gcm", key, nonce);
  cipher.setAAD(Buffer.from(associated));
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** The plain bytes; null if key, associated text or bytes are not those that were sealed. */
export function unseal(key: Uint8Array, sealed: Uint8Array, associated: string): Buffer | null {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return null;
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(associated));
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    return null;
  }
}

export interface RequestKeys {
  /**
   * The request's key, made if it has none. Nobody is answered before its file is flushed, at `path`, and then its name,
   * in {@link directory}.
   * @throws CountersignError `BLOB_CORRUPT` if the stored one is not whole.
   */
  ensure(request: RequestId): { readonly key: Buffer; readonly path: string };
  readonly directory: string;
  pathOf(request: RequestId): string;
  /** Null after {@link erase}. */
  read(request: RequestId): Buffer | null;
  /** Overwrites and removes the key; done again after a crash, it finishes. */
  erase(request: RequestId): Promise<void>;
  /** Requests that have a key. */
  list(): readonly RequestId[];
}

/** Keys of requests, in `keys/requests/<request>.key`. */
export function createRequestKeys(files: Files, keysDir: string): RequestKeys {
  const directory = join(keysDir, "requests");
  const pathOf = (request: RequestId): string => join(directory, `${request}.key`);
  const read = (request: RequestId): Buffer | null => {
    const wrapped = readWhole(files, pathOf(request));
    if (wrapped === null) return null;
    const key = unseal(readSealKey(files, keysDir), wrapped, request);
    if (key !== null) return key;
    throw new CountersignError(
      "BLOB_CORRUPT",
      `the key of ${request} does not open with this home's seal key`,
      {
        hint: "if its documents were being erased, erasing them again finishes it",
      },
    );
  };
  /** Under its name whole or not at all; a name taken meanwhile is another process's key, and that one stays. */
  const placeKey = (request: RequestId, path: string): void => {
    const temporary = join(directory, `.${request}.${randomBytes(6).toString("hex")}`);
    const fd = files.open(temporary, "wx");
    try {
      writeWhole(files, fd, seal(readSealKey(files, keysDir), randomBytes(32), request), 0);
      files.link(temporary, path);
    } finally {
      files.close(fd);
      files.unlink(temporary);
    }
  };

  return {
    directory,
    pathOf,
    read,
    list() {
      if (files.stat(directory) === null) return [];
      return files
        .list(directory)
        .map((name) => name.slice(0, -".key".length))
        .filter((name) => isId("req", name));
    },
    ensure(request) {
      const path = pathOf(request);
      // The key has its name before it is on disk: power that fails in between leaves a key that opens nothing, of a
      // request that no entry names, and the steward erases it. One that somebody else made may still be there.
      if (!files.exists(path)) placeKey(request, path);
      return { key: read(request) ?? missing(request), path };
    },
    async erase(request) {
      const path = pathOf(request);
      const stat = files.stat(path);
      if (stat !== null) {
        const fd = files.open(path, "r+");
        try {
          writeWhole(files, fd, randomBytes(stat.size), 0);
          await files.flush(fd);
        } finally {
          files.close(fd);
        }
        files.unlink(path);
      }
      if (files.exists(directory)) await files.flushDirectory(directory);
    },
  };
}

function missing(request: RequestId): never {
  throw new CountersignError("BLOB_MISSING", `the key of ${request} was erased`);
}
