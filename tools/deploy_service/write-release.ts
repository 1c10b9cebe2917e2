import { constants } from "node:fs";
import { chmod, mkdir, open, rename, rm, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ToolRefusal } from "../../src/tool.ts";
import { sha256, type Manifest, type ManifestFile } from "./manifest.ts";
import { readTyped, type ObjectReader } from "./objects.ts";
import { createPool } from "./pool.ts";
import { recordPath, releaseDir, syncDirectory } from "./releases.ts";

/**
 * Writes a release from the mirror: every byte checked against the sealed manifest, every file and directory durable,
 * then moved into place. `current` is not touched. What is left after a crash is `.tmp-<id>`, or a whole release that
 * nothing points at.
 */
export async function writeRelease(
  root: string,
  id: string,
  manifest: Manifest,
  manifestBytes: Uint8Array,
  reader: ObjectReader,
  signal: AbortSignal,
): Promise<void> {
  const releases = join(root, "releases");
  const tmp = join(releases, `.tmp-${id}`);
  await mkdir(releases, { mode: 0o755 }).catch(ignoreExisting);
  await rm(tmp, { recursive: true, force: true });
  await mkdir(tmp, { mode: 0o700 });

  const dirs = new Set<string>();
  for (const file of manifest.files) await makeParents(tmp, file.path, dirs);
  const writes = createPool(16);
  try {
    for (const file of manifest.files) {
      signal.throwIfAborted();
      const bytes = await readTyped(reader, file.oid, "blob", file.size);
      if (sha256(bytes) !== file.sha256)
        throw new ToolRefusal("object_forged", `${file.path} is not what was approved`);
      await writes.add(() => writeFile(join(tmp, file.path), file, bytes));
    }
  } finally {
    // Whoever cleans up after a failure must not race with a write.
    await writes.drain();
  }
  for (const dir of [...dirs].sort().reverse()) {
    await chmod(join(tmp, dir), 0o755);
    await syncDirectory(join(tmp, dir));
  }
  await writeDurable(recordPath(root, id), manifestBytes);
  await chmod(tmp, 0o755);
  await syncDirectory(tmp);
  await rename(tmp, releaseDir(root, id));
  await syncDirectory(releases);
}

async function makeParents(tmp: string, path: string, made: Set<string>): Promise<void> {
  const parent = dirname(path);
  if (parent === "." || made.has(parent)) return;
  await makeParents(tmp, parent, made);
  await mkdir(join(tmp, parent), { mode: 0o755 });
  made.add(parent);
}

async function writeFile(path: string, file: ManifestFile, bytes: Buffer): Promise<void> {
  if (file.mode === "120000") {
    await symlink(bytes.toString("utf8"), path);
    return;
  }
  const mode = file.mode === "100755" ? 0o755 : 0o644;
  const handle = await open(
    path,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    mode,
  );
  try {
    await handle.writeFile(bytes);
    // The umask of the gateway has no say in what was approved.
    await handle.chmod(mode);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function writeDurable(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(
    path,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o644,
  );
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function ignoreExisting(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
}
