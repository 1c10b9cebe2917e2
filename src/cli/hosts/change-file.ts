import { dirname, isAbsolute, relative, sep } from "node:path";
import { CountersignError } from "../../errors.ts";
import type { Disk, FileLook } from "./disk.ts";

// Replaces the file of another program, which may be written by it, or by a second one of us, at any time.
//
//   F1. A name leads to the old bytes or to the new ones, never to half of either, wherever a crash comes.
//   F2. Mode and owner stay. A link stays one: what it leads to is replaced.
//   F3. Two of us take turns. Whoever else wrote since we read wins, and we begin again from what they wrote.
//   F4. One copy of what was there before stays beside it.
//   F5. A project may be a stranger's: a link in it that leads out of it is not followed.

export interface OpenedFile {
  /** The file itself, where the name that was given is a link. */
  readonly path: string;
  /** Null: not there yet. */
  readonly text: string | null;
  readonly look: FileLook | null;
}

export interface ChangedFile {
  /** Null: there was nothing to keep. */
  readonly backup: string | null;
}

export interface Waits {
  sleep(ms: number): Promise<void>;
  /** A lock that stood unchanged for so long was left behind by a crash. */
  readonly staleMs: number;
}

/** Enough for the largest that was seen, by far; more would not be looked at by anybody either. */
const MAX_BYTES = 64 * 1024 * 1024;
const POLL_MS = 50;
const TRIES = 5;

/** The one copy that is kept. */
export const backupOf = (path: string): string => `${path}.before-countersign`;
const temporaryOf = (path: string): string => `${path}.countersign-new`;
/** A directory, as the package proper-lockfile names its own: who uses that on the same file takes turns with us. */
const lockOf = (path: string): string => `${path}.lock`;

/**
 * @param within a directory that links must not lead out of (F5); null: wherever they lead
 * @throws CountersignError `HOST_CONFIG_REFUSED` for what is no ordinary, readable text file
 */
export async function openFile(disk: Disk, name: string, within: string | null): Promise<OpenedFile> {
  const path = await attempt(`${name} can't be found`, disk.target(name));
  if (within !== null && path !== name) {
    const root = await attempt(`${within} can't be found`, disk.target(within));
    if (!isInside(root, path))
      throw refused(
        `${name} leads out of the project, to ${path}`,
        "nothing was changed; if you mean that file, name it: --config FILE",
      );
  }
  const look = await attempt(`${path} can't be looked at`, disk.look(path));
  if (look === null) return { path, text: null, look };
  if (look.kind === "directory")
    throw refused(`${path} is a directory, not a file`, "name the file: --config FILE");
  if (look.kind === "other") throw refused(`${path} is no ordinary file`, "name another one: --config FILE");
  if (look.size > MAX_BYTES) {
    throw refused(
      `${path} has ${Math.round(look.size / 2 ** 20)} MiB; more than 64 MiB is no configuration`,
      "look at what fills it, or add the entry by hand: docs/hosts.md",
    );
  }
  const bytes = await attempt(`${path} can't be read`, disk.read(path));
  try {
    return { path, text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes), look };
  } catch (cause) {
    throw refused(`${path} is not UTF-8 text`, "save it as UTF-8, then try again", cause);
  }
}

function isInside(directory: string, path: string): boolean {
  const way = relative(directory, path);
  return way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/**
 * Gives the text to `change` and puts what comes back in its place; null: nothing is written.
 * @param makeParent the directory may be made if it is missing
 * @throws CountersignError `HOST_CONFIG_REFUSED`, and what `change` throws
 */
export async function changeFile(
  disk: Disk,
  name: string,
  options: {
    readonly waits: Waits;
    readonly makeParent: boolean;
    readonly newFileMode: number;
    readonly within: string | null;
  },
  change: (opened: OpenedFile) => string | null,
): Promise<ChangedFile> {
  // What can be refused is, before anything is touched.
  const first = await openFile(disk, name, options.within);
  if (change(first) === null) return { backup: null };
  await demandPlace(disk, first, options.makeParent);
  return withLock(disk, first.path, options.waits, async () => {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const opened = await openFile(disk, name, options.within);
      const text = change(opened);
      if (text === null) return { backup: null };
      await demandPlace(disk, opened, options.makeParent);
      const replaced = await replace(disk, opened, text, options.newFileMode);
      if (replaced !== null) return replaced;
    }
    throw refused(`${first.path} is being written all the time`, "close the host, then try again");
  });
}

/** Null: somebody else wrote meanwhile, and their bytes stand (F3). */
async function replace(
  disk: Disk,
  { path, text: before, look }: OpenedFile,
  text: string,
  newFileMode: number,
): Promise<ChangedFile | null> {
  const how =
    look === null
      ? { mode: newFileMode, owner: null }
      : { mode: look.mode, owner: { uid: look.uid, gid: look.gid } };
  const temporary = temporaryOf(path);
  const prepare = async (content: string): Promise<void> => {
    // Under the lock, so one that is there was left by a crash.
    await disk.unlink(temporary);
    await disk.create(temporary, new TextEncoder().encode(content), how);
  };
  try {
    if (before !== null) {
      await prepare(before);
      await disk.rename(temporary, backupOf(path));
    }
    await prepare(text);
    if ((await disk.look(path))?.version !== look?.version) {
      await disk.unlink(temporary);
      return null;
    }
    await disk.rename(temporary, path);
  } catch (cause) {
    await disk.unlink(temporary).catch(() => false);
    throw refused(`${path} can't be replaced: ${said(cause)}`, hintOf(cause), cause);
  }
  // What a power cut takes back now is the new name of a whole file: the old one stands then, and it is whole too.
  await disk.flushDirectory(dirname(path)).catch(() => undefined);
  return { backup: before === null ? null : backupOf(path) };
}

async function demandPlace(disk: Disk, { path, look }: OpenedFile, makeParent: boolean): Promise<void> {
  // An administrator may write anything; a file that nobody may write was still meant so.
  if (look !== null && ((look.mode & 0o222) === 0 || !(await disk.isWritable(path)))) {
    throw refused(`${path} is read-only`, `somebody meant that; if it was you: chmod u+w ${path}`);
  }
  const directory = dirname(path);
  const there = await attempt(`${directory} can't be looked at`, disk.look(directory));
  if (there?.kind === "directory") return;
  if (there !== null) throw refused(`${directory} is not a directory`, "name another file: --config FILE");
  if (!makeParent) {
    throw refused(
      `${directory} does not exist: the host was never started here, or keeps its files elsewhere`,
      `start the host once, name its file with --config FILE, or make the directory: mkdir -p ${directory}`,
    );
  }
  await attempt(`${directory} can't be made`, disk.makeDirectory(directory));
}

async function withLock<T>(disk: Disk, path: string, waits: Waits, use: () => Promise<T>): Promise<T> {
  const lock = lockOf(path);
  const patience = 3 * waits.staleMs;
  let seen: string | undefined;
  let unchangedMs = 0;
  for (let waitedMs = 0; !(await attempt(`${lock} can't be made`, disk.makeDirectory(lock)));) {
    if (waitedMs > patience)
      throw refused(`${path} is locked by another program`, `wait, or look at ${lock}`);
    const version = (await disk.look(lock))?.version;
    unchangedMs = version === seen ? unchangedMs : 0;
    seen = version;
    if (version !== undefined && unchangedMs > waits.staleMs) {
      // Its owner is gone. Should two of us find that at once, F3 still holds by comparing before the rename.
      await disk.removeDirectory(lock).catch(() => undefined);
      unchangedMs = 0;
      continue;
    }
    await waits.sleep(POLL_MS);
    waitedMs += POLL_MS;
    unchangedMs += POLL_MS;
  }
  try {
    return await use();
  } finally {
    await disk.removeDirectory(lock).catch(() => undefined);
  }
}

const refused = (message: string, hint: string, cause?: unknown): CountersignError =>
  new CountersignError("HOST_CONFIG_REFUSED", message, { hint, ...(cause === undefined ? {} : { cause }) });

async function attempt<T>(what: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (cause) {
    throw refused(`${what}: ${said(cause)}`, hintOf(cause), cause);
  }
}

const CODE_WORDS: Readonly<Record<string, string>> = {
  EACCES: "this account may not",
  EPERM: "this account may not, or the host has it open",
  EBUSY: "another program has it open",
  EROFS: "the file system is read-only",
  ENOSPC: "the disk is full",
  ELOOP: "its links lead in a circle",
};

function said(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  return code === undefined ? message : `${CODE_WORDS[code] ?? "it failed"} (${code})`;
}

const hintOf = (cause: unknown): string =>
  (cause as NodeJS.ErrnoException).code === "EBUSY"
    ? "quit the host, then try again"
    : "nothing was changed; run it as the account that uses the host, or name another file: --config FILE";
