import { constants } from "node:fs";
import { chmod, mkdir, open, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ToolRefusal } from "../../src/tool.ts";
import { sha256, type ManifestFile } from "./manifest.ts";
import { readTyped, type ObjectReader } from "./objects.ts";
import { createPool } from "./pool.ts";

/**
 * Writes the files of a manifest into an empty directory: every byte checked against it, every file and directory
 * durable. Names and links were checked when the manifest was made (`readTree`), so none leaves `dir`.
 * @throws ToolRefusal `object_forged`
 */
export async function writeTree(
  dir: string,
  files: readonly ManifestFile[],
  reader: ObjectReader,
  signal: AbortSignal,
): Promise<void> {
  const dirs = new Set<string>();
  for (const file of files) await makeParents(dir, file.path, dirs);
  const writes = createPool(16);
  try {
    for (const file of files) {
      signal.throwIfAborted();
      const bytes = await readTyped(reader, file.oid, "blob", file.size);
      if (sha256(bytes) !== file.sha256)
        throw new ToolRefusal("object_forged", `${file.path} is not what was approved`);
      await writes.add(() => writeFile(join(dir, file.path), file, bytes));
    }
  } finally {
    // Whoever cleans up after a failure must not race with a write.
    await writes.drain();
  }
  for (const made of [...dirs].sort().reverse()) {
    await chmod(join(dir, made), 0o755);
    await syncDirectory(join(dir, made));
  }
}

async function makeParents(root: string, path: string, made: Set<string>): Promise<void> {
  const parent = dirname(path);
  if (parent === "." || made.has(parent)) return;
  await makeParents(root, parent, made);
  await mkdir(join(root, parent), { mode: 0o755 });
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

/** Makes the names in a directory durable. */
export async function syncDirectory(path: string): Promise<void> {
  const dir = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
}
