import { constants } from "node:fs";
import { chmod, mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Manifest } from "../git/manifest.ts";
import type { ObjectReader } from "../git/objects.ts";
import { syncDirectory, writeTree } from "../git/write-tree.ts";
import { recordPath, releaseDir } from "./releases.ts";

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

  await writeTree(tmp, manifest.files, reader, signal);
  await writeDurable(recordPath(root, id), manifestBytes);
  await chmod(tmp, 0o755);
  await syncDirectory(tmp);
  await rename(tmp, releaseDir(root, id));
  await syncDirectory(releases);
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
