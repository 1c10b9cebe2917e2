import { randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import type { Files } from "./files.ts";
import { writeWhole } from "./files.ts";
import { createGroupFlush, type GroupFlush } from "./group-flush.ts";
import { holdsDocuments, openPackFile, type FoundRecord, type PackFile } from "./pack-file.ts";
import {
  isErased,
  PACK_HEAD,
  RECORD_HEAD_BYTES,
  recordBytes,
  writeRecord,
  type PackRecord,
  type RecordHead,
} from "./pack-format.ts";
import { writePackIndex } from "./pack-index.ts";

// A directory of packs. Storing a document of a call is one write and a share in one flush, whatever else is stored.
//
//   B5. A pack has one owner at a time, the process that holds its lock; it alone appends. So a half-written end is
//       nobody else's business, and several processes need no turn.
//   B6. What is whole in a pack stays where it is: readers remember places. Where a write found no room, only the part
//       that no reader can have taken for a record is cut off; the rest is erased in place.
//   B7. A pack that holds something other than records is read and never written again.
//   B8. Erasing overwrites the payload, and is flushed before anybody is told. What was erased before is overwritten
//       again: whoever did it may have died before the flush. A pack that holds nothing any more is removed.

export interface Packs {
  /**
   * Writes what `build` gives for the pack that it is handed, in one go: every process can read it at once. `durable`
   * rejects where it may be lost with the machine's power.
   */
  write(
    build: (pack: OwnedPack) => readonly PackRecord[],
    rides?: boolean,
  ): { readonly durable: Promise<void> };
  /** The newest record with this digest that `fits`. */
  find(digest: Buffer, fits?: (head: RecordHead) => boolean): FoundIn | null;
  /** Overwrites every record with one of these digests; those that were there. */
  erase(digests: readonly Buffer[], fits?: (head: RecordHead) => boolean): Promise<readonly Buffer[]>;
  /** Requests whose key is in some pack and was not erased. */
  keys(): readonly string[];
  close(): Promise<void>;
}

/** A record, and how to look for another in the same pack. */
export interface FoundIn extends FoundRecord {
  beside(digest: Buffer): FoundRecord | null;
}

export interface OwnedPack {
  readonly path: string;
  /** In this pack alone. */
  find(digest: Buffer): FoundRecord | null;
}

export interface PacksParts {
  readonly files: Files;
  readonly directory: string;
  /** Where the first missing directory's parent is known to be on disk. */
  readonly root: string;
  /** True where keys of requests lie in the packs: then it is those that a pack is kept for. */
  readonly holdsKeys: boolean;
  readonly lock: (fd: number) => boolean;
  /** A pack of this size is full. */
  readonly fullBytes?: number;
}

interface Own extends OwnedPack {
  readonly fd: number;
  readonly file: PackFile;
  end: number;
  /** Records that its index does not have yet. */
  unindexed: number;
  readonly flushes: GroupFlush;
}

const FULL_BYTES = 32 * 1024 * 1024;
/** One's own pack without a key left is put away from this size on: what is in it can never be read again. */
const SPENT_BYTES = 1024 * 1024;
/** Packs that are looked at for one to go on with. */
const LOOK_AT = 8;
/** So many records are scanned faster than their index is written. */
const WORTH_AN_INDEX = 512;

export function createPacks(parts: PacksParts): Packs {
  const { files, directory, root, holdsKeys, lock, fullBytes = FULL_BYTES } = parts;
  let own: Own | null = null;
  /** Those that this process wrote to and does not any more, until they are closed. */
  const retiring = new Set<Promise<void>>();
  const broken: Own[] = [];
  const seen = new Map<string, PackFile>();

  /** Oldest first. */
  const paths = (): string[] =>
    files.exists(directory)
      ? files
          .list(directory)
          .filter((name) => name.endsWith(".pack"))
          .sort()
          .map((name) => join(directory, name))
      : [];

  /** Makes what is missing; the directories whose names have to be flushed before anything counts. */
  const makeMissing = (path: string): readonly string[] => {
    const above = path === root ? [] : makeMissing(dirname(path));
    if (path === root) return [];
    files.makeDirectory(path);
    return [...above, dirname(path)];
  };

  const owned = (path: string, fd: number, file: PackFile, loose: readonly string[]): Own => {
    let isLoose = true;
    const flushes = createGroupFlush(async () => {
      const names = isLoose ? loose.map((one) => files.flushDirectory(one)) : [];
      await Promise.all([...names, files.flush(fd)]);
      isLoose = false;
    });
    return {
      ...{ path, fd, file, flushes },
      end: file.scanned,
      unindexed: 0,
      find: (digest) => file.find(fd, digest, () => true),
    };
  };

  /** Goes on with a pack that nobody writes to. */
  const adopt = (path: string, loose: readonly string[]): Own | null => {
    const fd = files.open(path, "r+");
    const size = files.size(fd);
    const head = Buffer.alloc(PACK_HEAD.length);
    // Its name last: who removed it held the lock until then.
    if (size < fullBytes && lock(fd) && files.exists(path)) {
      files.read(fd, head, 0, head.length, 0);
      const file = openPackFile(files, path, { whole: true, keepKeys: holdsKeys });
      const before = file.table.count;
      if (head.equals(PACK_HEAD) && file.scan(fd) && file.scanned === size) {
        const adopted = owned(path, fd, file, loose);
        adopted.unindexed = file.table.count - before;
        return adopted;
      }
    }
    files.close(fd);
    return null;
  };

  const create = (loose: readonly string[]): Own => {
    for (;;) {
      const last = Number.parseInt(
        paths()
          .at(-1)
          ?.slice(directory.length + 1) ?? "0",
        10,
      );
      // No name is used twice: who holds the lock of a pack asks by its name whether it still exists.
      const name = `${String(last + 1).padStart(8, "0")}-${randomBytes(6).toString("hex")}.pack`;
      const path = join(directory, name);
      const fd = files.open(path, "wx+");
      try {
        if (lock(fd)) {
          writeWhole(files, fd, PACK_HEAD, 0);
          const file = openPackFile(files, path, { whole: true, keepKeys: holdsKeys });
          return owned(path, fd, file, loose);
        }
      } catch (error) {
        files.close(fd);
        files.unlink(path);
        throw error;
      }
      files.close(fd);
    }
  };

  const take = (): Own => {
    const loose = [...makeMissing(directory), directory];
    for (const path of paths().reverse().slice(0, LOOK_AT)) {
      const adopted = adopt(path, loose);
      if (adopted !== null) return adopted;
    }
    return create(loose);
  };

  const retire = async (pack: Own): Promise<void> => {
    seen.delete(pack.path);
    try {
      await pack.flushes.now();
      if (pack.unindexed >= WORTH_AN_INDEX && !holdsKeys) {
        await writePackIndex(files, `${pack.path}.idx`, pack.file.scanned, pack.file.table);
      }
    } catch {
      // Whoever waits for the flush was told, and an index is a cache.
    } finally {
      files.close(pack.fd);
    }
  };
  const retireOwn = (): void => {
    if (own === null) return;
    const work = retire(own).finally(() => retiring.delete(work));
    retiring.add(work);
    own = null;
  };

  const giveUp = (pack: Own): void => {
    if (own === pack) own = null;
    // Its lock is kept, or another process would go on with it.
    broken.push(pack);
  };

  /** B6. */
  const undo = (pack: Own, records: readonly PackRecord[]): void => {
    try {
      const size = files.size(pack.fd);
      for (const { digest, payload, kind } of records) {
        const end = pack.end + recordBytes(payload.length);
        if (end > size) break;
        writeWhole(files, pack.fd, Buffer.alloc(payload.length), pack.end + RECORD_HEAD_BYTES);
        pack.file.note(digest, pack.end, end, kind === "key");
        pack.end = end;
      }
      if (size > pack.end) files.truncate(pack.fd, pack.end);
    } catch {
      giveUp(pack);
    }
  };

  const write: Packs["write"] = (build, rides = false) => {
    if (own !== null && own.end >= fullBytes) retireOwn();
    own ??= take();
    const pack = own;
    const records = build(pack);
    const bytes = Buffer.alloc(records.reduce((sum, { payload }) => sum + recordBytes(payload.length), 0));
    let at = 0;
    for (const record of records) at = writeRecord(record, bytes, at);
    try {
      writeWhole(files, pack.fd, bytes, pack.end);
    } catch (cause) {
      undo(pack, records);
      throw cause;
    }
    for (const { digest, payload, kind } of records) {
      const end = pack.end + recordBytes(payload.length);
      pack.file.note(digest, pack.end, end, kind === "key");
      pack.end = end;
    }
    pack.unindexed += records.length;
    const durable = (rides ? pack.flushes.riding() : pack.flushes.now()).catch((cause: unknown) => {
      giveUp(pack);
      throw cause;
    });
    return { durable };
  };

  /** Another process's pack, or one of our own from before. */
  const fileOf = (path: string): PackFile => {
    let file = seen.get(path);
    if (file === undefined) seen.set(path, (file = openPackFile(files, path, { keepKeys: holdsKeys })));
    return file;
  };
  /** Null where the pack went away meanwhile. */
  const withPack = <T>(path: string, flags: "r" | "r+", use: (file: PackFile, fd: number) => T): T | null => {
    const mine = [own, ...broken].find((pack) => pack?.path === path);
    if (mine !== undefined && mine !== null) return use(mine.file, mine.fd);
    let fd: number;
    try {
      fd = files.open(path, flags);
    } catch (error) {
      seen.delete(path);
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
    try {
      return use(fileOf(path), fd);
    } finally {
      files.close(fd);
    }
  };

  const find: Packs["find"] = (digest, fits = () => true) => {
    const lookIn = (path: string): FoundIn | null =>
      withPack(path, "r", (file, fd) => {
        const found = file.find(fd, digest, fits);
        if (found === null) return null;
        const beside = (other: Buffer): FoundRecord | null =>
          withPack(path, "r", (same, again) => same.find(again, other, () => true));
        return { ...found, beside };
      });
    const first = own === null ? null : lookIn(own.path);
    if (first !== null) return first;
    for (const path of paths().reverse()) {
      const found = path === own?.path ? null : lookIn(path);
      if (found !== null) return found;
    }
    return null;
  };

  /** Offsets of keys that were not erased. */
  const liveKeys = (file: PackFile, fd: number): readonly FoundRecord[] => {
    file.scan(fd);
    const live: FoundRecord[] = [];
    for (const offset of file.keys) {
      const found = file.read(fd, offset);
      if (found?.head.kind === "key" && !isErased(found.payload)) live.push(found);
      else file.keys.delete(offset);
    }
    return live;
  };

  /** B8. Only under the pack's lock: nobody adds to it meanwhile. */
  const removeEmpty = (path: string): void => {
    if (path === own?.path || broken.some((pack) => pack.path === path)) return;
    const fd = files.open(path, "r+");
    try {
      if (!lock(fd) || !files.exists(path) || isInUse(path, fd)) return;
      files.unlink(path);
      files.unlink(`${path}.idx`);
      seen.delete(path);
    } finally {
      files.close(fd);
    }
  };
  const isInUse = (path: string, fd: number): boolean => {
    if (holdsKeys) return liveKeys(fileOf(path), fd).length > 0;
    return holdsDocuments(files, fd);
  };

  const erase: Packs["erase"] = async (digests, fits = () => true) => {
    const gone = new Set<Buffer>();
    const touched = new Set<string>();
    for (const path of paths()) {
      // A key may stand in several packs, a document in one: what is old is found in the first few.
      const wanted = holdsKeys ? digests : digests.filter((digest) => !gone.has(digest));
      if (wanted.length === 0) break;
      const fd = files.open(path, "r+");
      try {
        let isTouched = false;
        for (const digest of wanted) {
          const file = path === own?.path ? own.file : fileOf(path);
          const found = file.find(fd, digest, fits);
          if (found === null) continue;
          writeWhole(files, fd, Buffer.alloc(found.payload.length), found.offset + RECORD_HEAD_BYTES);
          gone.add(digest);
          isTouched = true;
        }
        if (!isTouched) continue;
        touched.add(path);
        await files.flush(fd);
      } finally {
        files.close(fd);
      }
    }
    if (own !== null && holdsKeys && own.end >= SPENT_BYTES && touched.has(own.path)) {
      if (liveKeys(own.file, own.fd).length === 0) retireOwn();
      await Promise.all(retiring);
    }
    for (const path of touched) removeEmpty(path);
    return [...gone];
  };

  return {
    write,
    find,
    erase,
    keys: () => [
      ...new Set(
        paths().flatMap(
          (path) =>
            withPack(path, "r", (file, fd) => liveKeys(file, fd).map(({ head }) => head.request)) ?? [],
        ),
      ),
    ],
    async close() {
      retireOwn();
      await Promise.all(retiring);
      for (const { fd } of broken.splice(0)) files.close(fd);
    },
  };
}
