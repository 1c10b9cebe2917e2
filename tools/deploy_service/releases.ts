import { createHash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import {
  lstat,
  open,
  opendir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  symlink,
  unlink,
} from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { canonicalJson } from "../../src/base/canonical-json.ts";
import { ToolRefusal } from "../../src/tool.ts";
import { syncDirectory } from "../git/write-tree.ts";
import { manifestSchema, sha256, type Manifest, type ManifestFile } from "../git/manifest.ts";
import { createPool } from "../git/pool.ts";

// The release root on disk:
//
//   <root>/current                       -> releases/<id>
//   <root>/releases/<id>/                 what is served
//   <root>/releases/<id>.manifest.json    the sealed manifest it was written from
//   <root>/releases/.tmp-<id>             being written; left behind only by a crash

const RELEASE_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
/** Bytes above which a file is not read in one piece. */
const STREAM_ABOVE = 1024 * 1024;
const MAX_RECORD_BYTES = 64 * 1024 * 1024;

/** The root by its real path. @throws ToolRefusal `releases_unsafe` where others could write it */
export async function openRoot(path: string): Promise<string> {
  const real = await realpath(path).catch((cause: unknown) => {
    throw new ToolRefusal("releases_unsafe", `${path}: ${String(cause)}`);
  });
  checkDirectory(await lstat(path), path);
  const releases = await lstatOrNull(join(real, "releases"));
  if (releases !== null) checkDirectory(releases, join(real, "releases"));
  return real;
}

function checkDirectory(stat: Stats, path: string): void {
  const uid = process.getuid?.();
  if (!stat.isDirectory()) throw new ToolRefusal("releases_unsafe", `${path} is not a directory`);
  if (uid !== undefined && stat.uid !== uid && stat.uid !== 0) {
    throw new ToolRefusal("releases_unsafe", `${path} belongs to account ${stat.uid}`);
  }
  if ((stat.mode & 0o022) !== 0) {
    throw new ToolRefusal("releases_unsafe", `${path} can be written by others: chmod go-w it`);
  }
}

/** What a file on disk turned out to be. For a link, size and sha256 are those of its target's text. */
export type FoundFile = Pick<ManifestFile, "mode" | "size" | "sha256">;

/** What is served now. */
export interface CurrentRelease {
  readonly id: string;
  /** The text of the link. */
  readonly link: string;
  /** The manifest it was deployed from; null for a release that was not made by this tool. */
  readonly manifest: Manifest | null;
  /** What stands there: the manifest's files, or all files where there is none. */
  readonly files: ReadonlyMap<string, FoundFile>;
  /** Files of the manifest that are gone or differ. */
  readonly drifted: readonly string[];
  /** Files that the manifest doesn't know: a service may write beside its code. */
  readonly extras: number;
  /** Changes with the link and with every file above. */
  readonly digest: string;
}

/** @throws ToolRefusal `current_unmanaged` where `current` is no link to a release beside it */
export async function readCurrent(root: string, maxEntries: number): Promise<CurrentRelease | null> {
  const link = await readCurrentLink(root);
  if (link === null) return null;
  const target = resolve(root, link);
  const id = basename(target);
  if (dirname(target) !== join(root, "releases") || !RELEASE_NAME.test(id)) {
    throw new ToolRefusal("current_unmanaged", `current points at ${link}`);
  }
  const dir = join(root, "releases", id);
  const stat = await lstatOrNull(dir);
  if (stat !== null && !stat.isDirectory())
    throw new ToolRefusal("current_unmanaged", `${dir} is not a directory`);
  const record = await readRecord(root, id);
  const listed = record === null ? null : new Map(record.manifest.files.map((file) => [file.path, file]));
  const files = new Map<string, FoundFile>();
  let extras = 0;
  let entries = 0;
  if (stat !== null) {
    const reads = createPool(16);
    try {
      for await (const path of walk(dir, "")) {
        entries += 1;
        if (entries > maxEntries * 4) throw new ToolRefusal("current_too_large", dir);
        if (listed !== null && !listed.has(path)) extras += 1;
        else await reads.add(async () => void files.set(path, await readFound(join(dir, path))));
      }
    } finally {
      await reads.drain();
    }
  }
  const drifted = [...(listed?.values() ?? [])]
    .filter((file) => !isSame(files.get(file.path), file))
    .map((file) => file.path);
  const found = [...files]
    .map(([path, file]) => [path, file.mode, file.sha256] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    id,
    link,
    manifest: record?.manifest ?? null,
    files,
    drifted,
    extras,
    digest: sha256(canonicalJson({ link, record: record?.sha256 ?? null, found })),
  };
}

export const isSame = (a: FoundFile | undefined, b: FoundFile | undefined): boolean =>
  a !== undefined && b !== undefined && a.mode === b.mode && a.sha256 === b.sha256;

/** The text of the link `current`; null where there is none. @throws ToolRefusal `current_unmanaged` */
export async function readCurrentLink(root: string): Promise<string | null> {
  const path = join(root, "current");
  const stat = await lstatOrNull(path);
  if (stat === null) return null;
  if (!stat.isSymbolicLink()) throw new ToolRefusal("current_unmanaged", `${path} is not a link`);
  return readlink(path);
}

export const releaseDir = (root: string, id: string): string => join(root, "releases", id);
export const recordPath = (root: string, id: string): string => join(root, "releases", `${id}.manifest.json`);
export const linkTo = (id: string): string => `releases/${id}`;

export async function readRecord(
  root: string,
  id: string,
): Promise<{ readonly manifest: Manifest; readonly sha256: string } | null> {
  const bytes = await readRegular(recordPath(root, id), MAX_RECORD_BYTES);
  if (bytes === null) return null;
  try {
    return { manifest: manifestSchema.parse(JSON.parse(bytes.toString("utf8"))), sha256: sha256(bytes) };
  } catch {
    // A record that doesn't read back says nothing: every file counts as found, none as known.
    return null;
  }
}

/**
 * Points `current` at another release, if it still points where `expected` says.
 * @returns false, and nothing changed, where it points elsewhere
 */
export async function switchCurrent(
  root: string,
  expected: string | null,
  link: string | null,
): Promise<boolean> {
  const current = join(root, "current");
  if ((await readCurrentLink(root)) !== expected) return false;
  if (link === null) await unlink(current);
  else if (expected === null) {
    // No rename: where something appeared meanwhile, the kernel refuses.
    try {
      await symlink(link, current);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    }
  } else {
    const next = join(root, ".current.next");
    await rm(next, { force: true });
    await symlink(link, next);
    await rename(next, current);
  }
  await syncDirectory(root);
  return true;
}

/** Removes a release and its record. Its directory is hidden first, so that a crash leaves no half of it in use. */
export async function removeRelease(root: string, id: string): Promise<void> {
  const gone = join(root, "releases", `.gone-${id}`);
  await rename(releaseDir(root, id), gone).catch(ignoreMissing);
  await rm(recordPath(root, id), { force: true });
  await rm(gone, { recursive: true, force: true });
}

/** Ids of the releases this tool made, newest first. */
export async function listReleases(root: string): Promise<readonly string[]> {
  const ids: string[] = [];
  for await (const entry of await opendir(join(root, "releases"))) {
    const id = /^(\d{8}-\d{6}-.+)\.manifest\.json$/.exec(entry.name)?.[1];
    if (id !== undefined && RELEASE_NAME.test(id)) ids.push(id);
  }
  return ids.sort().reverse();
}

/** Removes what crashed deploys left behind. Only under the lock: a running deploy's directory looks the same. */
export async function sweepLeftovers(root: string): Promise<void> {
  if ((await lstatOrNull(join(root, "releases"))) === null) return;
  for await (const entry of await opendir(join(root, "releases"))) {
    if (/^\.(?:tmp|gone)-/.test(entry.name)) {
      await rm(join(root, "releases", entry.name), { recursive: true, force: true });
    }
  }
}

export async function lstatOrNull(path: string): Promise<Stats | null> {
  return lstat(path).catch((error: unknown) => {
    ignoreMissing(error);
    return null;
  });
}

/** The bytes of a regular file, never through a link; null where there is none. */
export async function readRegular(path: string, maxBytes: number): Promise<Buffer | null> {
  const stat = await lstatOrNull(path);
  if (stat === null || !stat.isFile() || stat.size > maxBytes) return null;
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return await readFile(file);
  } finally {
    await file.close();
  }
}

async function* walk(dir: string, prefix: string): AsyncGenerator<string> {
  for await (const entry of await opendir(dir)) {
    const path = prefix + entry.name;
    if (entry.isDirectory()) yield* walk(join(dir, entry.name), `${path}/`);
    else yield path;
  }
}

async function readFound(path: string): Promise<FoundFile> {
  const stat = await lstat(path);
  if (stat.isSymbolicLink()) {
    const target = Buffer.from(await readlink(path));
    return { mode: "120000", size: target.length, sha256: sha256(target) };
  }
  // A socket or a pipe is not what the manifest says, whatever it says.
  if (!stat.isFile()) return { mode: "100644", size: 0, sha256: "not a regular file" };
  const mode = (stat.mode & 0o100) === 0 ? "100644" : "100755";
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    if (stat.size <= STREAM_ABOVE) {
      const bytes = await file.readFile();
      return { mode, size: bytes.length, sha256: sha256(bytes) };
    }
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of file.createReadStream({ autoClose: false }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      size += chunk.length;
    }
    return { mode, size, sha256: hash.digest("hex") };
  } finally {
    await file.close();
  }
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
