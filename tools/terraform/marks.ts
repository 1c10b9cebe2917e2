import { constants } from "node:fs";
import { mkdir, open, readFile, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { sha256 } from "../git/manifest.ts";
import { syncDirectory } from "../git/write-tree.ts";

// What is known of an apply, outside the process that runs it. The mark is durable before terraform is started, so
// where there is none, terraform was never started; where one says how it ended, that is how it ended.

const markSchema = z.strictObject({
  v: z.literal(1),
  /** sha256 of the saved plan. */
  plan: z.string(),
  workspace: z.string(),
  request: z.string(),
  /** Of the machine, so that what the kernel had not written yet can't be mistaken for what never was; null: unknown. */
  boot: z.string().nullable(),
  ended: z
    .strictObject({ how: z.enum(["done", "no_effect"]), lineage: z.string(), serial: z.int() })
    .nullable(),
});
export type ApplyMark = z.infer<typeof markSchema>;

export interface MarkPlace {
  readonly dir: string;
  readonly mark: string;
  /** Events of `terraform apply -json`; written by terraform itself, so that it lives on if we don't. */
  readonly events: string;
}

/** One place for each request's plan: two that are made in the same second of the same state are the same bytes. */
export function markPlace(
  stateDir: string,
  workspace: string,
  plan: { readonly file: { readonly sha256: string }; readonly held: string },
): MarkPlace {
  const dir = join(stateDir, "applies", workspace);
  const name = sha256(`${plan.file.sha256}\n${plan.held}`);
  return { dir, mark: join(dir, `${name}.json`), events: join(dir, `${name}.events`) };
}

/** Writes the first mark of an apply; false where there is one already. */
export async function beginMark(place: MarkPlace, mark: ApplyMark): Promise<boolean> {
  try {
    const file = await open(
      place.mark,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      await file.writeFile(JSON.stringify(mark));
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
  await syncDirectory(place.dir);
  return true;
}

/** Says how it ended, in place of the first mark, and drops what terraform said meanwhile. */
export async function endMark(place: MarkPlace, mark: ApplyMark): Promise<void> {
  const fresh = `${place.mark}.new`;
  const file = await open(
    fresh,
    constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW,
    0o600,
  );
  try {
    await file.writeFile(JSON.stringify(mark));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, place.mark);
  await syncDirectory(place.dir);
  // Diagnostics may quote what nobody else may read.
  await rm(place.events, { force: true });
}

/** Takes known secrets out of what terraform said. */
export async function rewriteEvents(place: MarkPlace, scrub: (text: string) => string): Promise<void> {
  const text = await readFile(place.events, "utf8").catch(() => null);
  if (text !== null) await writeFile(place.events, scrub(text), { mode: 0o600 });
}

/** "torn": it was being written when the machine stopped, so terraform had not been started. */
export async function readMark(place: MarkPlace): Promise<ApplyMark | "none" | "torn"> {
  const text = await readFile(place.mark, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (text === null) return "none";
  try {
    return markSchema.parse(JSON.parse(text));
  } catch {
    return "torn";
  }
}

export async function bootId(): Promise<string | null> {
  return readFile("/proc/sys/kernel/random/boot_id", "utf8").then(
    (text) => text.trim(),
    () => null,
  );
}

/** Removes marks and checkouts that nothing can need any more. */
export async function sweepOld(dir: string, olderThan: number): Promise<void> {
  for (const workspace of await readdir(dir).catch((): string[] => [])) {
    for (const name of await readdir(join(dir, workspace)).catch((): string[] => [])) {
      if (name.startsWith(".")) continue;
      const path = join(dir, workspace, name);
      const found = await stat(path).catch(() => null);
      if (found !== null && found.mtimeMs < olderThan) await rm(path, { recursive: true, force: true });
    }
  }
}

export const makeMarkDirectory = async (place: MarkPlace): Promise<void> => {
  await mkdir(place.dir, { recursive: true, mode: 0o700 });
};
