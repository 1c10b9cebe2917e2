import { join } from "node:path";
import { writeWhole } from "./files.ts";
import { holdsDocuments, openPackFile, type FoundRecord, type PackFile } from "./pack-file.ts";
import { isErased, RECORD_HEAD_BYTES, type PackRecord, type RecordHead } from "./pack-format.ts";
import { createPackWriter, type OwnedPack, type PackWriterParts } from "./pack-writer.ts";

// A directory of packs. Storing a document of a call is one write and a share in one flush, whatever else is stored.
//
//   B5. A pack has one owner at a time, the process that holds its lock; it alone appends. So a half-written end is
//       nobody else's business, and several processes need no turn.
//   B6. What is whole in a pack stays where it is: readers remember places. Where a write found no room, only the part
//       that no reader can have taken for a record is cut off; the rest is erased in place.
//   B7. A pack that holds something other than records is read and never written again.
//   B8. Erasing overwrites the payload, and is flushed before anybody is told. What was erased before is overwritten
//       again: whoever did it may have died before the flush. A pack that holds nothing any more is removed, at once or, where
//       it has an owner, later.

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
  /** Requests among these whose key is in some pack and was not erased. */
  keys(isAmong: (request: string) => boolean): readonly string[];
  close(): Promise<void>;
}

/** A record, and how to look for another in the same pack. */
export interface FoundIn extends FoundRecord {
  beside(digest: Buffer): FoundRecord | null;
}

export type PacksParts = Omit<PackWriterParts, "paths" | "onRetired">;

/** One's own pack without a key left is put away from this size on: what is in it can never be read again. */
const SPENT_BYTES = 1024 * 1024;
/** Packs that one erasure looks at for what those before it, or those who died over one, left to be removed. */
const SWEPT_AT_ONCE = 8;

export function createPacks(parts: PacksParts): Packs {
  const { files, directory, holdsKeys, lock } = parts;
  const seen = new Map<string, PackFile>();
  /** Those without an owner that were looked at once, and held something. */
  const kept = new Set<string>();

  /** Oldest first. */
  const paths = (): readonly string[] =>
    files.exists(directory)
      ? files
          .list(directory)
          .filter((name) => name.endsWith(".pack"))
          .sort()
          .map((name) => join(directory, name))
      : [];
  const writer = createPackWriter({
    ...{ ...parts, paths },
    onRetired(path) {
      seen.delete(path);
      kept.delete(path);
    },
  });

  /** Another process's pack, or one of our own from before. */
  const fileOf = (path: string): PackFile => {
    let file = seen.get(path);
    if (file === undefined) seen.set(path, (file = openPackFile(files, path, { keepKeys: holdsKeys })));
    return file;
  };
  /** Null where the pack went away meanwhile. */
  const openPack = (path: string, flags: "r" | "r+"): number | null => {
    try {
      return files.open(path, flags);
    } catch (error) {
      seen.delete(path);
      kept.delete(path);
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  };
  /** Null where the pack went away meanwhile. */
  const withPack = <T>(path: string, use: (file: PackFile, fd: number) => T): T | null => {
    const mine = writer.held(path);
    if (mine !== null) return use(mine.file, mine.fd);
    const fd = openPack(path, "r");
    if (fd === null) return null;
    try {
      return use(fileOf(path), fd);
    } finally {
      files.close(fd);
    }
  };

  const find: Packs["find"] = (digest, fits = () => true) => {
    const lookIn = (path: string): FoundIn | null =>
      withPack(path, (file, fd) => {
        const found = file.find(fd, digest, fits);
        if (found === null) return null;
        const beside = (other: Buffer): FoundRecord | null =>
          withPack(path, (same, again) => same.find(again, other, () => true));
        return { ...found, beside };
      });
    const own = writer.own?.path;
    const first = own === undefined ? null : lookIn(own);
    if (first !== null) return first;
    const all = paths();
    forgetRemoved(all);
    for (const path of [...all].reverse()) {
      const found = path === own ? null : lookIn(path);
      if (found !== null) return found;
    }
    return null;
  };

  /** What this process knows of packs that others removed. */
  const forgetRemoved = (all: readonly string[]): void => {
    if (seen.size <= all.length) return;
    const there = new Set(all);
    for (const path of seen.keys()) if (!there.has(path)) seen.delete(path);
  };

  /** Requests among these whose key was not erased. The keys of others are not looked at: of open ones there are many. */
  const liveKeys = (
    file: PackFile,
    fd: number,
    isAmong: (request: string) => boolean = () => true,
  ): readonly string[] => {
    file.scan(fd);
    const live: string[] = [];
    for (const [offset, request] of file.keys) {
      if (!isAmong(request)) continue;
      const found = file.read(fd, offset);
      if (found?.head.kind === "key" && !isErased(found.payload)) live.push(request);
      else file.keys.delete(offset);
    }
    return live;
  };

  /** B8. Only under the pack's lock: nobody adds to it meanwhile. */
  const removeEmpty = (path: string): void => {
    if (writer.held(path) !== null) return;
    const fd = openPack(path, "r+");
    if (fd === null) return;
    try {
      if (!lock(fd) || !files.exists(path)) return;
      if (isInUse(path, fd)) {
        kept.add(path);
        return;
      }
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
    // A key may stand in several packs, a document in one: what is old is found in the first few, what is new in our own.
    const all = paths();
    const first = all.filter((path) => path === writer.own?.path);
    for (const path of holdsKeys ? all : [...first, ...all.filter((path) => !first.includes(path))]) {
      const wanted = holdsKeys ? digests : digests.filter((digest) => !gone.has(digest));
      if (wanted.length === 0) break;
      const fd = openPack(path, "r+");
      if (fd === null) continue;
      try {
        let isTouched = false;
        for (const digest of wanted) {
          const file = writer.held(path)?.file ?? fileOf(path);
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
    const { own } = writer;
    if (own !== null && holdsKeys && own.end >= SPENT_BYTES && touched.has(own.path)) {
      if (liveKeys(own.file, own.fd).length === 0) await writer.retire();
    }
    // Whoever erased the last of another may have found its owner still there, or died before it was removed.
    const left = paths().filter((path) => !touched.has(path) && !kept.has(path));
    for (const path of [...touched, ...left.slice(0, SWEPT_AT_ONCE)]) removeEmpty(path);
    return [...gone];
  };

  return {
    write: (build, rides = false) => writer.write(build, rides),
    find,
    erase,
    keys(isAmong) {
      const requests = new Set<string>();
      for (const path of paths()) {
        const isSpent = withPack(path, (file, fd) => {
          for (const request of liveKeys(file, fd, isAmong)) requests.add(request);
          return file.keys.size === 0;
        });
        if (isSpent === true) removeEmpty(path);
      }
      return [...requests];
    },
    close: writer.close,
  };
}
