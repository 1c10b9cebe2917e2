import { createHash } from "node:crypto";
import { readdir, realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { isId, type LogId } from "../base/id.ts";
import { CountersignError } from "../errors.ts";
import { readCheckpointUnverified } from "../log/checkpoint.ts";
import { cosignedAt as cosignedAtOf } from "../log/cosignature.ts";
import type { VerifierKey } from "../log/note.ts";
import type { Kept, Sight, WitnessRefusal } from "./look.ts";
import { readText, replaceFile } from "./private-file.ts";

// Where a witness keeps what it saw, one directory a log:
//
//   <place>/<log id>/log.vkey           verifier key of the log that was in force at the newest look
//   <place>/<log id>/witness.vkey       verifier key of the witness
//   <place>/<log id>/daily/2026-11-21   the last cosigned checkpoint of that day (UTC)
//   <place>/<log id>/newest.tlog-proof  proof of the newest entry, under the newest checkpoint
//   <place>/<log id>/refused/…          what a log showed that was refused: evidence
//   <place>/<log id>/checkpoint         the newest cosigned checkpoint, written last: it is the memory
//
// In another home the directory is `<home>/witness/`. No secret is in any of it: it may be pushed and published.

export interface Place {
  /** Absolute: where `<log id>` lies. */
  readonly dir: string;
  readonly kind: "directory" | "git" | "home";
}

/**
 * Finds what kind of place a directory is.
 * @throws CountersignError `USAGE` for one that is missing, or lies in the home that is watched
 */
export async function openPlace(path: string, watchedHome: string): Promise<Place> {
  const real = await realpath(path).catch(() => null);
  if (real === null || !(await stat(real)).isDirectory()) {
    throw new CountersignError("USAGE", `${path} is not a directory`, {
      hint: "make it first, on another disk or machine if you can",
    });
  }
  const home = await realpath(watchedHome);
  if (real === home || real.startsWith(home + sep)) {
    throw new CountersignError("USAGE", `${path} lies in the home that is to be watched`, {
      hint: "who rewrites the home would rewrite the copy too: name a place outside",
    });
  }
  const has = (name: string): Promise<boolean> =>
    stat(join(real, name)).then(
      () => true,
      () => false,
    );
  if (await has("countersign.yaml")) return { dir: join(real, "witness"), kind: "home" };
  return { dir: real, kind: (await has(".git")) ? "git" : "directory" };
}

/** Logs that the place keeps checkpoints of. */
export async function logsIn({ dir }: Place): Promise<readonly LogId[]> {
  const names = await readdir(dir).catch((): string[] => []);
  return names.filter((name): name is LogId => isId("log", name));
}

/**
 * What is kept of a log; null where it was never seen. The place may be writable by others: what this witness did not
 * cosign is no memory of its.
 * @param witness this witness's own verifier key
 * @throws CountersignError `LOG_ROLLED_BACK` where it can't be read: a memory that is damaged is not the same as none
 */
export async function readKept({ dir }: Place, log: LogId, witness: VerifierKey): Promise<Kept | null> {
  const at = (name: string): string => join(dir, log, name);
  const [note, key, keeper] = await Promise.all([
    readText(at("checkpoint")),
    readText(at("log.vkey")),
    readText(at("witness.vkey")),
  ]);
  if (note === null) return null;
  if (keeper !== null && keeper.trim() !== witness.text) {
    throw new CountersignError("USAGE", `${join(dir, log)} is kept by another witness, ${keeper.trim()}`, {
      hint: "name a place of your own, or the key that keeps this one: --witness-key FILE",
    });
  }
  const checkpoint = readCheckpointUnverified(note);
  const time = cosignedAtOf(note, witness);
  if (!checkpoint.ok || !time.ok || key === null) {
    throw new CountersignError("LOG_ROLLED_BACK", `what is kept of the log in ${join(dir, log)} is damaged`, {
      hint: "look at its daily/ checkpoints; restore the newest good one as checkpoint, or watch from another place",
    });
  }
  return { checkpoint: checkpoint.value, key: key.trim(), cosignedAt: time.value };
}

/** Keeps what was seen. A crash in between leaves the old memory. */
export async function keep({ dir }: Place, log: LogId, sight: Sight, witness: string): Promise<void> {
  const write = (name: string, text: string): Promise<void> => replaceFile(join(dir, log, name), text, 0o644);
  const day = new Date(sight.cosignedAt * 1_000).toISOString().slice(0, 10);
  await write("witness.vkey", `${witness}\n`);
  await write("log.vkey", `${sight.key}\n`);
  await write(join("daily", day), sight.note);
  await write("newest.tlog-proof", sight.proof);
  await write("checkpoint", sight.note);
}

/** Keeps what a refused log showed; the file's path. */
export async function keepRefused({ dir }: Place, log: LogId, { note }: WitnessRefusal): Promise<string> {
  const name = createHash("sha256").update(note).digest("hex").slice(0, 16);
  const path = join(dir, log, "refused", name);
  await replaceFile(path, note, 0o644);
  return path;
}
