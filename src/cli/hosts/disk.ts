import { constants } from "node:fs";
import * as fs from "node:fs/promises";
import { dirname, resolve } from "node:path";

// The file calls that a change of a host's configuration needs, as a port: crash tests make each of them fail, happen
// by half, or happen and then fail.

export interface FileLook {
  readonly kind: "file" | "directory" | "other";
  readonly size: number;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Changes whenever another file takes the name or its content is written. */
  readonly version: string;
}

export interface NewFile {
  readonly mode: number;
  /** Null: whose it becomes by itself. */
  readonly owner: { readonly uid: number; readonly gid: number } | null;
}

export interface Disk {
  /** Null: not there. Follows links. */
  look(path: string): Promise<FileLook | null>;
  /** The file that a name leads to, through links, also where that file is not there yet. */
  target(path: string): Promise<string>;
  read(path: string): Promise<Buffer>;
  isWritable(path: string): Promise<boolean>;
  list(directory: string): Promise<readonly string[]>;
  /** One level; false if it was there. */
  makeDirectory(path: string): Promise<boolean>;
  removeDirectory(path: string): Promise<void>;
  /** Writes and flushes a file that must not be there. */
  create(path: string, bytes: Uint8Array, how: NewFile): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** False if it was not there. */
  unlink(path: string): Promise<boolean>;
  flushDirectory(path: string): Promise<void>;
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** What a call gives, or `other` where it fails with one of the codes. */
async function unless<T, O>(codes: readonly string[], other: O, call: Promise<T>): Promise<T | O> {
  try {
    return await call;
  } catch (error) {
    if (codes.includes(codeOf(error) ?? "")) return other;
    throw error;
  }
}

const ABSENT = ["ENOENT", "ENOTDIR"];

/** The operating system's own. */
export const systemDisk: Disk = {
  async look(path) {
    const stat = await unless(ABSENT, null, fs.stat(path, { bigint: true }));
    if (stat === null) return null;
    return {
      kind: stat.isFile() ? "file" : stat.isDirectory() ? "directory" : "other",
      size: Number(stat.size),
      mode: Number(stat.mode & 0o7777n),
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      version: `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`,
    };
  },
  async target(path) {
    const real = await unless(ABSENT, null, fs.realpath(path));
    if (real !== null) return real;
    // A link to nothing yet: what it names is made, and the link stays.
    const link = await unless([...ABSENT, "EINVAL"], null, fs.readlink(path));
    const named = link === null ? path : resolve(dirname(path), link);
    const directory = await unless(ABSENT, null, fs.realpath(dirname(named)));
    return directory === null
      ? named
      : resolve(directory, named.slice(dirname(named).length).replace(/^[\\/]/, ""));
  },
  read: (path) => fs.readFile(path),
  isWritable: (path) =>
    fs.access(path, constants.W_OK).then(
      () => true,
      () => false,
    ),
  list: (directory) => unless(ABSENT, [], fs.readdir(directory)),
  makeDirectory: (path) =>
    unless(
      ["EEXIST"],
      false,
      fs.mkdir(path).then(() => true),
    ),
  removeDirectory: (path) => fs.rmdir(path),
  async create(path, bytes, { mode, owner }) {
    const file = await fs.open(path, "wx", mode & 0o600);
    try {
      await file.writeFile(bytes);
      // Owner first: a change of it takes bits away, and the content must never be open to more than it was.
      if (owner !== null) {
        const made = await file.stat();
        if (made.uid !== owner.uid || made.gid !== owner.gid) await file.chown(owner.uid, owner.gid);
      }
      await file.chmod(mode & 0o777);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  rename: (from, to) => fs.rename(from, to),
  unlink: (path) =>
    unless(
      ["ENOENT"],
      false,
      fs.unlink(path).then(() => true),
    ),
  async flushDirectory(path) {
    // Windows neither opens directories nor needs this: NTFS journals its names.
    if (process.platform === "win32") return;
    const directory = await fs.open(path, "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
};
