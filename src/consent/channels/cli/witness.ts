import { createHash } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isDigest, type Digest } from "../../../base/digest.ts";
import { isId, type LogId } from "../../../base/id.ts";
import { err, ok, type Result } from "../../../base/result.ts";
import { CountersignError } from "../../../errors.ts";

// Approvers are witnesses: whoever signs has checked, with memory of their own, that the log only grew. So an approval
// countersigns the log, and rewriting it needs the people who approved to collude (design §5).
//
//   W1. A head is remembered only after it was shown to extend the one remembered before.
//   W2. A head that doesn't extend it is never signed, and never replaces the memory.
//   W3. The memory lies in the person's own state directory, not in the home that it watches.
//   W4. A home that shows another log than before is refused: whoever rewrites it whole may choose a new log too.
//
// What a crash leaves: the old memory or the new one, never a torn one (write aside, flush, rename). Two commands at once
// may leave the older of two good heads, which only means more to check next time.

/** A size and root that this account has seen and checked. */
export interface SeenHead {
  readonly size: number;
  readonly root: Digest;
}

/** What the witness asks of the log it watches. */
export interface WitnessedLog {
  readonly logId: LogId;
  head(): SeenHead;
  /** RFC 6962 §2.1.2, lower-case hex. */
  consistencyProof(oldSize: number, newSize: number): Promise<readonly string[]>;
}

/** RFC 6962 §2.1.4.2: does the proof show that the new tree extends the old one? */
export type VerifyConsistency = (older: SeenHead, newer: SeenHead, proof: readonly string[]) => boolean;

export type WitnessRefusal =
  | { readonly kind: "other_log"; readonly seen: LogId; readonly now: LogId; readonly memory: string }
  | { readonly kind: "shorter"; readonly seen: SeenHead; readonly now: SeenHead }
  | { readonly kind: "differs"; readonly seen: SeenHead; readonly now: SeenHead };

export interface Sighting {
  readonly head: SeenHead;
  /** Null: this account has not seen this log before. */
  readonly since: SeenHead | null;
}

export interface Witness {
  /**
   * Checks the log's head against the memory and remembers it (W1). A refusal changes nothing (W2).
   * @param home absolute path of the home; one that held another log before is refused (W4)
   */
  look(log: WitnessedLog, home?: string): Promise<Result<Sighting, WitnessRefusal>>;
}

/** @param parts.dir absolute path of the person's own memory, e.g. `~/.local/state/countersign/seen` */
export function createWitness(parts: {
  readonly dir: string;
  readonly verifyConsistency: VerifyConsistency;
}): Witness {
  return {
    async look(log, home) {
      const homeFile = home === undefined ? null : join(parts.dir, "homes", hashOf(home));
      const before = homeFile === null ? null : await recallHome(homeFile);
      if (homeFile !== null && before !== null && before !== log.logId) {
        return err({ kind: "other_log", seen: before, now: log.logId, memory: homeFile });
      }
      const file = join(parts.dir, log.logId);
      const seen = await recall(file);
      const now = log.head();
      if (seen !== null) {
        if (now.size < seen.size) return err({ kind: "shorter", seen, now });
        const extends_ =
          now.size === seen.size
            ? now.root === seen.root
            : seen.size === 0 ||
              parts.verifyConsistency(seen, now, await log.consistencyProof(seen.size, now.size));
        if (!extends_) return err({ kind: "differs", seen, now });
      }
      if (seen === null || now.size > seen.size) {
        await write(file, `${TAG}\n${now.size}\n${now.root}\n`);
      }
      if (homeFile !== null && before === null) {
        await write(homeFile, `${HOME_TAG}\n${log.logId}\n${String(home)}\n`);
      }
      return ok({ head: now, since: seen });
    },
  };
}

const readIfThere = (file: string): Promise<string | null> =>
  readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });

async function recall(file: string): Promise<SeenHead | null> {
  const text = await readIfThere(file);
  if (text === null) return null;
  // Three lines: what this is, size, root. Anything else fails closed: a memory that can't be read is not "none".
  const [tag, size, root, rest] = text.split("\n");
  if (tag !== TAG || size === undefined || !/^\d{1,15}$/.test(size) || !isDigest(root) || rest !== "") {
    throw new CountersignError("LOG_ROLLED_BACK", `the memory of this log at ${file} is damaged`, {
      hint: "compare the log with a receipt or another person's memory, then remove that file yourself",
    });
  }
  return { size: Number(size), root };
}

const TAG = "countersign.seen.v1";
const HOME_TAG = "countersign.seen-home.v1";
const hashOf = (home: string): string => createHash("sha256").update(home).digest("hex");

async function recallHome(file: string): Promise<LogId | null> {
  const text = await readIfThere(file);
  if (text === null) return null;
  const [tag, log = ""] = text.split("\n");
  if (tag === HOME_TAG && isId("log", log)) return log;
  throw new CountersignError("LOG_ROLLED_BACK", `the memory of this home at ${file} is damaged`, {
    hint: "compare the log with a receipt or another person's memory, then remove that file yourself",
  });
}

async function write(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  const aside = `${file}.${process.pid}.new`;
  const handle = await open(aside, "w", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(aside, file).catch(async (error: unknown) => {
    await rm(aside, { force: true });
    throw error;
  });
}
