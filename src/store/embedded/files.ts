import fs from "node:fs";
import { dirname } from "node:path";
import { setImmediate } from "node:timers/promises";

// The file calls the store uses, as a port: crash tests make each of them fail, or happen and then fail.
// Calls that only touch the page cache are synchronous (a microsecond or two); calls that wait for the disk are not,
// because a laptop's flush takes milliseconds that the event loop needs.

export interface FileStat {
  readonly size: number;
  readonly mode: number;
  readonly uid: number;
  readonly isDirectory: boolean;
  /** Changes whenever another file takes the name or the content is written. */
  readonly version: string;
}

export interface Files {
  /** `wx` flags create with mode 0600. */
  open(path: string, flags: "r" | "r+" | "wx" | "wx+" | "a+"): number;
  close(fd: number): void;
  read(fd: number, into: Uint8Array, at: number, length: number, position: number): number;
  readLater(fd: number, into: Uint8Array, at: number, length: number, position: number): Promise<number>;
  /** May write less than asked, as the system call may. */
  write(fd: number, from: Uint8Array, at: number, length: number, position: number): number;
  size(fd: number): number;
  truncate(fd: number, length: number): void;
  /** fdatasync: the content and the size. */
  flush(fd: number): Promise<void>;
  /** fsync of the directory: the names in it. */
  flushDirectory(path: string): Promise<void>;
  exists(path: string): boolean;
  stat(path: string): FileStat | null;
  list(directory: string): readonly string[];
  /** One level, mode 0700; false if it was there. */
  makeDirectory(path: string): boolean;
  rename(from: string, to: string): void;
  /** Gives a file a second name; false if that name is taken. */
  link(from: string, to: string): boolean;
  /** False if it was not there. */
  unlink(path: string): boolean;
  removeTree(path: string): void;
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

/** True if the call did it, false if it failed with `code`; other errors pass. */
function unless(code: string, call: () => void): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (codeOf(error) === code) return false;
    throw error;
  }
}

/** The operating system's own. */
export const systemFiles: Files = {
  open: (path, flags) => fs.openSync(path, flags, 0o600),
  close: (fd) => fs.closeSync(fd),
  read: (fd, into, at, length, position) => fs.readSync(fd, into, at, length, position),
  readLater: (fd, into, at, length, position) =>
    new Promise((resolve, reject) => {
      fs.read(fd, into, at, length, position, (error, count) => (error ? reject(error) : resolve(count)));
    }),
  write: (fd, from, at, length, position) => fs.writeSync(fd, from, at, length, position),
  size: (fd) => fs.fstatSync(fd).size,
  truncate: (fd, length) => fs.ftruncateSync(fd, length),
  // The callback form: a FileHandle's promise costs half as much again as the flush itself.
  flush: (fd) =>
    new Promise((resolve, reject) => {
      fs.fdatasync(fd, (error) => (error ? reject(error) : resolve()));
    }),
  async flushDirectory(path) {
    // Windows neither opens directories nor needs this: NTFS journals its names.
    if (process.platform === "win32") return;
    const fd = fs.openSync(path, "r");
    try {
      await new Promise<void>((resolve, reject) => {
        fs.fsync(fd, (error) => (error ? reject(error) : resolve()));
      });
    } finally {
      fs.closeSync(fd);
    }
  },
  exists: (path) => fs.existsSync(path),
  stat(path) {
    const stat = fs.statSync(path, { throwIfNoEntry: false, bigint: true });
    if (stat === undefined) return null;
    return {
      size: Number(stat.size),
      mode: Number(stat.mode),
      uid: Number(stat.uid),
      isDirectory: stat.isDirectory(),
      version: `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}`,
    };
  },
  list: (directory) => fs.readdirSync(directory),
  makeDirectory: (path) => unless("EEXIST", () => fs.mkdirSync(path, { mode: 0o700 })),
  rename: (from, to) => fs.renameSync(from, to),
  link: (from, to) => unless("EEXIST", () => fs.linkSync(from, to)),
  unlink: (path) => unless("ENOENT", () => fs.unlinkSync(path)),
  removeTree: (path) => fs.rmSync(path, { recursive: true, force: true }),
};

/** Reads a whole small file; null if it is not there. */
export function readWhole(files: Files, path: string): Buffer | null {
  let fd: number;
  try {
    fd = files.open(path, "r");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
  try {
    const bytes = Buffer.allocUnsafe(files.size(fd));
    let done = 0;
    while (done < bytes.length) {
      const count = files.read(fd, bytes, done, bytes.length - done, done);
      if (count === 0) break;
      done += count;
    }
    return bytes.subarray(0, done);
  } finally {
    files.close(fd);
  }
}

/** Writes all of `bytes` at `position`: the rest of a short write is tried again, and then the error says why. */
export function writeWhole(files: Files, fd: number, bytes: Uint8Array, position: number): void {
  let done = 0;
  while (done < bytes.length) {
    const count = files.write(fd, bytes, done, bytes.length - done, position + done);
    if (count <= 0) throw Object.assign(new Error("the disk took no more bytes"), { code: "ENOSPC" });
    done += count;
  }
}

/** Makes a directory and what is missing above it, and makes the new names durable; false if it was there. */
export async function makeDirectories(files: Files, path: string): Promise<boolean> {
  if (files.stat(path)?.isDirectory === true) return false;
  const parent = dirname(path);
  if (parent !== path) await makeDirectories(files, parent);
  if (!files.makeDirectory(path)) return false;
  await files.flushDirectory(parent);
  return true;
}

/**
 * Writes a new file that is complete or absent after a crash, once its directory is flushed. Of one that comes in
 * pieces, others get their turn between them.
 */
export async function writeNewFile(
  files: Files,
  path: string,
  bytes: Uint8Array | readonly Uint8Array[],
): Promise<void> {
  const fd = files.open(path, "wx");
  try {
    let at = 0;
    for (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
      if (at > 0) await setImmediate();
      writeWhole(files, fd, piece, at);
      at += piece.length;
    }
    await files.flush(fd);
  } finally {
    files.close(fd);
  }
}

/** Whether an error means that the disk, the quota or the file size limit is exhausted. */
export const isNoRoom = (error: unknown): boolean =>
  ["ENOSPC", "EDQUOT", "EFBIG"].includes(codeOf(error) ?? "");
