import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { systemFiles, type Files } from "../../src/store/embedded/files.ts";

// Runs the store on the real file system and keeps book of what a power cut would leave: of each file what was last
// flushed, and of each directory the names at its last flush. What came after may have reached the disk in part.

interface Inode {
  durable: Buffer;
  /** Where its content can be read now. */
  path: string;
}
type Names = Map<string, Inode | "directory">;

interface Directory {
  /** As of its last flush. */
  durable: Names;
  /** Changes since, in the order in which a journal would replay them. */
  pending: ((names: Names) => void)[];
}

/** A disk after a power cut, to be written out and opened. */
export interface CutState {
  writeTo(root: string): void;
}

export interface PowerCutFiles extends Files {
  /** What might be left if power failed now. `random` is in [0, 1). */
  cut(random: () => number): CutState;
}

/** Everything under `root` counts as durable at the start. `afterEach` is called after every changing call. */
export function powerCutFiles(root: string, afterEach: (files: PowerCutFiles) => void): PowerCutFiles {
  const directories = new Map<string, Directory>();
  const current = new Map<string, Inode>();
  const open = new Map<number, Inode>();

  const scan = (path: string): void => {
    const durable: Names = new Map();
    directories.set(path, { durable, pending: [] });
    for (const name of readdirSync(path)) {
      const child = join(path, name);
      if (statSync(child).isDirectory()) {
        durable.set(name, "directory");
        scan(child);
      } else {
        const inode = { durable: readFileSync(child), path: child };
        durable.set(name, inode);
        current.set(child, inode);
      }
    }
  };
  scan(root);

  const note = (path: string, change: (names: Names, name: string) => void): void => {
    directories.get(dirname(path))?.pending.push((names) => change(names, basename(path)));
  };
  const content = (inode: Inode): Buffer => {
    try {
      return readFileSync(inode.path);
    } catch {
      return inode.durable;
    }
  };
  const contentAfterCut = (inode: Inode, random: () => number): Buffer => {
    const { durable } = inode;
    const volatile = content(inode);
    // One sector, written in place: old or new.
    if (basename(inode.path) === "checkpoint") return random() < 0.5 ? durable : volatile;
    const kind = random();
    if (kind < 0.2) return durable;
    if (kind < 0.4) return volatile;
    // The size was written and the content was not.
    if (kind < 0.6)
      return Buffer.concat([durable, Buffer.alloc(Math.max(0, volatile.length - durable.length))]);
    const upTo = Math.floor(random() * (volatile.length + 1));
    return Buffer.concat([volatile.subarray(0, upTo), durable.subarray(upTo)]);
  };

  const did = <T>(result: T): T => {
    afterEach(files);
    return result;
  };
  const files: PowerCutFiles = {
    ...systemFiles,
    open(path, flags) {
      const isNew = !systemFiles.exists(path);
      const fd = systemFiles.open(path, flags);
      if (isNew) {
        const inode: Inode = { durable: Buffer.alloc(0), path };
        current.set(path, inode);
        note(path, (names, name) => names.set(name, inode));
      }
      const inode = current.get(path);
      if (inode !== undefined) open.set(fd, inode);
      return isNew ? did(fd) : fd;
    },
    close(fd) {
      open.delete(fd);
      systemFiles.close(fd);
    },
    write: (...args) => did(systemFiles.write(...args)),
    truncate: (fd, length) => did(systemFiles.truncate(fd, length)),
    async flush(fd) {
      // What the flush covers is what was there when it began.
      const inode = open.get(fd);
      const covered = inode === undefined ? undefined : content(inode);
      await systemFiles.flush(fd);
      if (inode !== undefined && covered !== undefined) inode.durable = covered;
      did(undefined);
    },
    async flushDirectory(path) {
      const directory = directories.get(path);
      const covered = directory?.pending.length ?? 0;
      await systemFiles.flushDirectory(path);
      for (const change of directory?.pending.splice(0, covered) ?? [])
        change((directory as Directory).durable);
      did(undefined);
    },
    makeDirectory(path) {
      const isNew = systemFiles.makeDirectory(path);
      if (!isNew) return false;
      directories.set(path, { durable: new Map(), pending: [] });
      note(path, (names, name) => names.set(name, "directory"));
      return did(true);
    },
    rename(from, to) {
      systemFiles.rename(from, to);
      const inode = current.get(from) as Inode;
      inode.path = to;
      current.delete(from);
      current.set(to, inode);
      // Both names lie in one directory and change together.
      note(to, (names, name) => {
        names.delete(basename(from));
        names.set(name, inode);
      });
      did(undefined);
    },
    link(from, to) {
      if (!systemFiles.link(from, to)) return false;
      const inode = current.get(from) as Inode;
      inode.path = to;
      current.set(to, inode);
      note(to, (names, name) => names.set(name, inode));
      return did(true);
    },
    unlink(path) {
      if (!systemFiles.unlink(path)) return false;
      current.delete(path);
      note(path, (names, name) => names.delete(name));
      return did(true);
    },
    cut(random) {
      const left: { path: string; bytes: Buffer | null }[] = [];
      const walk = (path: string): void => {
        const directory = directories.get(path);
        if (directory === undefined) return;
        const names: Names = new Map(directory.durable);
        const kept = Math.floor(random() * (directory.pending.length + 1));
        for (const change of directory.pending.slice(0, kept)) change(names);
        for (const [name, what] of names) {
          const at = relative(root, join(path, name));
          if (what === "directory") {
            left.push({ path: at, bytes: null });
            walk(join(path, name));
          } else left.push({ path: at, bytes: contentAfterCut(what, random) });
        }
      };
      walk(root);
      return {
        writeTo(target) {
          for (const { path, bytes } of left) {
            if (bytes === null) mkdirSync(join(target, path), { mode: 0o700 });
            else writeFileSync(join(target, path), bytes, { mode: 0o600 });
          }
        },
      };
    },
  };
  return files;
}
