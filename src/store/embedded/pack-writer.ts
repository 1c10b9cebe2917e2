import { randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { writeWhole, type Files } from "./files.ts";
import { createGroupFlush, type GroupFlush } from "./group-flush.ts";
import { openPackFile, type FoundRecord, type PackFile } from "./pack-file.ts";
import { PACK_HEAD, RECORD_HEAD_BYTES, recordBytes, writeRecord, type PackRecord } from "./pack-format.ts";
import { writePackIndex } from "./pack-index.ts";

// The pack that this process appends to (B5 to B7 in packs.ts).

export interface OwnedPack {
  readonly path: string;
  /** In this pack alone. */
  find(digest: Buffer): FoundRecord | null;
}

export interface Own extends OwnedPack {
  readonly fd: number;
  readonly file: PackFile;
  end: number;
  /** Records that its index does not have yet. */
  unindexed: number;
  readonly flushes: GroupFlush;
}

export interface PackWriterParts {
  readonly files: Files;
  readonly directory: string;
  /** Where the first missing directory's parent is known to be on disk. */
  readonly root: string;
  /** True where keys of requests lie in the packs: then it is those that a pack is kept for. */
  readonly holdsKeys: boolean;
  readonly lock: (fd: number) => boolean;
  /** A pack of this size is full. */
  readonly fullBytes?: number;
  /** All packs, oldest first. */
  readonly paths: () => readonly string[];
  /** A pack of ours was put away: others may go on with it. */
  readonly onRetired: (path: string) => void;
}

export interface PackWriter {
  write(
    build: (pack: OwnedPack) => readonly PackRecord[],
    rides: boolean,
  ): { readonly durable: Promise<void> };
  /** The pack that is written to now. */
  readonly own: Own | null;
  /** The pack at this path, where this process holds its lock for longer than a flush. */
  held(path: string): Own | null;
  /** Puts the own pack away; resolves when this and those before are. */
  retire(): Promise<void>;
  close(): Promise<void>;
}

const FULL_BYTES = 32 * 1024 * 1024;
/** Packs that are looked at for one to go on with. */
const LOOK_AT = 32;
/** So many records are scanned faster than their index is written. */
const WORTH_AN_INDEX = 512;
/** A disk that failed so many packs is not given another one. */
const MOST_BROKEN = 8;

export function createPackWriter(parts: PackWriterParts): PackWriter {
  const { files, directory, root, holdsKeys, lock, fullBytes = FULL_BYTES, paths } = parts;
  let own: Own | null = null;
  /** Those that this process wrote to and does not any more, until they are closed. */
  const retiring = new Set<Promise<void>>();
  /** Those whose flush failed. Their locks are kept, or another process would go on with them. */
  const broken = new Map<Own, unknown>();

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
    let adopted: Own | null = null;
    try {
      const size = files.size(fd);
      const head = Buffer.alloc(PACK_HEAD.length);
      // Its name last: who removed it held the lock until then.
      if (size < fullBytes && lock(fd) && files.exists(path)) {
        files.read(fd, head, 0, head.length, 0);
        const file = openPackFile(files, path, { whole: true, keepKeys: holdsKeys });
        const before = file.table.count;
        if (head.equals(PACK_HEAD) && file.scan(fd) && file.scanned === size) {
          adopted = owned(path, fd, file, loose);
          adopted.unindexed = file.table.count - before;
        }
      }
      return adopted;
    } finally {
      if (adopted === null) files.close(fd);
    }
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
        // Its name last: who takes it for one that nobody wants may have had the lock before us.
        if (lock(fd) && files.exists(path)) {
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
    for (const path of [...paths()].reverse().slice(0, LOOK_AT)) {
      const adopted = adopt(path, loose);
      if (adopted !== null) return adopted;
    }
    return create(loose);
  };

  const giveUp = (pack: Own, cause: unknown): void => {
    if (own === pack) own = null;
    broken.set(pack, cause);
  };

  const putAway = async (pack: Own): Promise<void> => {
    parts.onRetired(pack.path);
    try {
      await pack.flushes.now();
    } catch (cause) {
      // Whoever waits for the flush was told.
      giveUp(pack, cause);
      return;
    }
    try {
      if (pack.unindexed >= WORTH_AN_INDEX && !holdsKeys) {
        await writePackIndex(files, `${pack.path}.idx`, pack.file.scanned, pack.file.table);
      }
    } catch {
      // An index is a cache.
    } finally {
      files.close(pack.fd);
    }
  };
  const retireOwn = (): void => {
    if (own === null) return;
    const work = putAway(own).finally(() => retiring.delete(work));
    retiring.add(work);
    own = null;
  };

  /** B6. */
  const undo = (pack: Own, records: readonly PackRecord[]): void => {
    try {
      const size = files.size(pack.fd);
      for (const { payload, ...record } of records) {
        const end = pack.end + recordBytes(payload.length);
        if (end > size) break;
        writeWhole(files, pack.fd, Buffer.alloc(payload.length), pack.end + RECORD_HEAD_BYTES);
        pack.file.note({ request: "", ...record }, pack.end, end);
        pack.end = end;
      }
      if (size > pack.end) files.truncate(pack.fd, pack.end);
    } catch (cause) {
      giveUp(pack, cause);
    }
  };

  return {
    write(build, rides) {
      if (own !== null && own.end >= fullBytes) retireOwn();
      if (own === null && broken.size >= MOST_BROKEN) throw [...broken.values()].at(-1);
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
      for (const { payload, ...record } of records) {
        const end = pack.end + recordBytes(payload.length);
        pack.file.note({ request: "", ...record }, pack.end, end);
        pack.end = end;
      }
      pack.unindexed += records.length;
      const durable = (rides ? pack.flushes.riding() : pack.flushes.now()).catch((cause: unknown) => {
        giveUp(pack, cause);
        throw cause;
      });
      return { durable };
    },
    get own() {
      return own;
    },
    held: (path) => [own, ...broken.keys()].find((pack) => pack?.path === path) ?? null,
    async retire() {
      retireOwn();
      await Promise.all(retiring);
    },
    async close() {
      retireOwn();
      await Promise.all(retiring);
      for (const { fd } of broken.keys()) files.close(fd);
      broken.clear();
    },
  };
}
