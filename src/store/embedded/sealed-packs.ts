import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { isId, type RequestId } from "../../base/id.ts";
import { CountersignError } from "../../errors.ts";
import type { Files } from "./files.ts";
import { readSealKey } from "./keys.ts";
import { isErased, keyDigest, type PackRecord } from "./pack-format.ts";
import type { OwnedPack } from "./pack-writer.ts";
import { createPacks } from "./packs.ts";
import { seal, unseal } from "./seal.ts";

// Small sealed documents, in packs of their own in the keys' directory: each pack holds the keys of its requests too,
// wrapped by seal.key, because both live equally long. A copy of the documents' directory has none of them.
//
//   B9. A request has one key in each pack that holds documents of it. Erasing it there makes them noise at once; the pack
//       goes when it holds no key any more.

/** One small sealed document: `plain` is salt ‖ bytes, `digest` its 32 bytes. */
export interface SealedDocument {
  readonly digest: Buffer;
  readonly plain: Buffer;
  readonly request: RequestId;
}

export interface SealedPacks {
  write(documents: readonly SealedDocument[], rides?: boolean): { readonly durable: Promise<void> };
  /**
   * Salt ‖ bytes; null where there is no such document of this request.
   * @throws CountersignError `BLOB_MISSING` where its key was erased, `BLOB_CORRUPT`
   */
  read(digest: Buffer, request: RequestId): Buffer | null;
  /** Erases the request's keys in all packs. */
  erase(request: RequestId): Promise<void>;
  /** Requests among these that have a key. */
  requests(isAmong: (request: RequestId) => boolean): readonly RequestId[];
  close(): Promise<void>;
}

/** Keys that were used last: a call's documents are stored and read within a moment. */
const REMEMBERED = 64;

export function createSealedPacks(parts: {
  readonly files: Files;
  readonly keysDir: string;
  readonly lock: (fd: number) => boolean;
  readonly fullBytes?: number;
}): SealedPacks {
  const { files, keysDir } = parts;
  const packs = createPacks({
    ...{ ...parts, root: keysDir, holdsKeys: true },
    directory: join(keysDir, "sealed"),
  });
  const remembered = new Map<string, Buffer>();
  const remember = (pack: string, request: RequestId, key: Buffer): Buffer => {
    const [oldest] = remembered.size >= REMEMBERED ? remembered.keys() : [];
    if (oldest !== undefined) remembered.delete(oldest);
    remembered.set(`${pack} ${request}`, key);
    return key;
  };
  let sealKey: Buffer | null = null;
  const wrapping = (): Buffer => (sealKey ??= readSealKey(files, keysDir));

  const unwrap = (request: RequestId, wrapped: Buffer | undefined): Buffer => {
    if (wrapped === undefined || isErased(wrapped)) {
      throw new CountersignError("BLOB_MISSING", `the key of ${request} was erased`);
    }
    const key = unseal(wrapping(), wrapped, request);
    if (key !== null) return key;
    throw new CountersignError(
      "BLOB_CORRUPT",
      `the key of ${request} does not open with this home's seal key`,
      { hint: "if its documents were being erased, erasing them again finishes it" },
    );
  };

  /** The request's key in the pack that is written to, and its record where it is a new one. */
  const keyIn = (
    pack: OwnedPack,
    request: RequestId,
  ): { readonly key: Buffer; readonly made: readonly PackRecord[] } => {
    const known = remembered.get(`${pack.path} ${request}`);
    if (known !== undefined) return { key: known, made: [] };
    const digest = keyDigest(request);
    const found = pack.find(digest);
    if (found !== null && !isErased(found.payload)) {
      return { key: remember(pack.path, request, unwrap(request, found.payload)), made: [] };
    }
    const key = randomBytes(32);
    return {
      key,
      made: [{ kind: "key", digest, request, payload: seal(wrapping(), key, request) }],
    };
  };

  return {
    write(documents, rides) {
      let path = "";
      const keys = new Map<RequestId, Buffer>();
      const result = packs.write((pack) => {
        path = pack.path;
        return documents.flatMap(({ digest, plain, request }): readonly PackRecord[] => {
          const known = keys.get(request);
          const { key, made } = known === undefined ? keyIn(pack, request) : { key: known, made: [] };
          keys.set(request, key);
          const payload = seal(key, plain, `sha256:${digest.toString("hex")}`);
          return [...made, { kind: "document", digest, request, payload }];
        });
      }, rides);
      for (const [request, key] of keys) remember(path, request, key);
      return result;
    },
    read(digest, request) {
      const found = packs.find(digest, (head) => head.kind === "document" && head.request === request);
      if (found === null) return null;
      const key = unwrap(request, found.beside(keyDigest(request))?.payload);
      const plain = unseal(key, found.payload, `sha256:${digest.toString("hex")}`);
      if (plain !== null) return plain;
      throw new CountersignError("BLOB_CORRUPT", `a sealed document of ${request} is not what was stored`, {
        hint: "restore it from a copy; the log shows which request it belongs to",
      });
    },
    async erase(request) {
      for (const name of remembered.keys()) if (name.endsWith(` ${request}`)) remembered.delete(name);
      await packs.erase([keyDigest(request)], (head) => head.kind === "key" && head.request === request);
    },
    requests: (isAmong) =>
      packs
        .keys((name) => isId("req", name) && isAmong(name))
        .filter((name): name is RequestId => isId("req", name)),
    close: packs.close,
  };
}
