import { isFault } from "../errors.ts";
import { err, ok, type Result } from "../base/result.ts";
import type { LogId } from "../base/id.ts";
import { readCheckpointUnverified, type Checkpoint } from "../log/checkpoint.ts";
import type { Cosigner } from "../log/cosignature.ts";
import { decodeEntry } from "../log/encode.ts";
import type { Entry } from "../log/entry.ts";
import { currentKey, extendChain, openWithChain, startChain, type KeyChain } from "../log/key-chain.ts";
import { fromHex, leafHash, type TreeHash } from "../log/merkle.ts";
import { verifyConsistency, verifyInclusion } from "../log/merkle-proof.ts";
import { formatTlogProof } from "../log/proof.ts";

// One look of a witness at a log: everything the log says is checked against what the witness keeps.
//
//   W1. A checkpoint is cosigned only after it was shown to extend the one that was cosigned before.
//   W2. Its key is the one that was trusted, or reached from it by rotations that stand in the tree.
//   W3. A log that is refused changes nothing that is kept.

/** What the witness asks of the log; a store fits. All of it is believed only as far as it proves itself. */
export interface WatchedLog {
  readonly logId: LogId;
  checkpoint(): Promise<string>;
  catchUp(): Promise<void>;
  rotations(): readonly number[];
  lines(fromSeq: number): AsyncIterable<{ readonly seq: number; readonly bytes: Uint8Array }>;
  inclusionProof(seq: number, size: number): Promise<readonly string[]>;
  consistencyProof(oldSize: number, newSize: number): Promise<readonly string[]>;
}

/** What a witness keeps of one log. */
export interface Kept {
  /** The newest checkpoint that it cosigned. */
  readonly checkpoint: Checkpoint;
  /** Verifier key that was in force then. */
  readonly key: string;
  /** Unix seconds. */
  readonly cosignedAt: number;
}

export interface Sight {
  readonly checkpoint: Checkpoint;
  /** Verifier key in force now. */
  readonly key: string;
  /** The checkpoint, signed by the log and cosigned. */
  readonly note: string;
  /** C2SP tlog-proof of the newest entry. */
  readonly proof: string;
  readonly cosignedAt: number;
  /** Keys that came into force since the last look. */
  readonly rotatedTo: readonly string[];
}

export interface WitnessRefusal {
  readonly kind: "shorter" | "differs" | "key";
  /** In a sentence. */
  readonly message: string;
  /** What the log showed. */
  readonly note: string;
}

/**
 * Checks the log's newest checkpoint against what is kept, and cosigns it.
 * @param pinned verifier key from somewhere else, for the first look
 * @param seconds Unix time
 */
export async function lookAt(parts: {
  readonly log: WatchedLog;
  readonly kept: Kept | null;
  readonly pinned: string | null;
  readonly cosigner: Cosigner;
  readonly seconds: number;
}): Promise<Result<Sight, WitnessRefusal>> {
  const { log, kept, pinned, cosigner } = parts;
  await log.catchUp();
  const note = await log.checkpoint();
  const refuse = (kind: WitnessRefusal["kind"], message: string): Result<Sight, WitnessRefusal> =>
    err({ kind, message, note });

  const claimed = readCheckpointUnverified(note);
  if (!claimed.ok) return refuse("key", `the log shows no checkpoint: ${claimed.error}`);
  const keys = await keysOf(log, kept, claimed.value.size);
  if (!keys.ok) return refuse("key", keys.error);
  const { chain, rotations } = keys.value;
  if (pinned !== null && !chain.some(({ key }) => key.text === pinned)) {
    return refuse("key", `the log has never had the key ${pinned}; its own is ${currentKey(chain).text}`);
  }
  const opened = openWithChain(note, chain);
  if (!opened.ok) return refuse("key", `the checkpoint is not signed by the key in force: ${opened.error}`);
  const checkpoint = opened.value;
  const { size } = checkpoint;

  if (kept !== null) {
    const seen = kept.checkpoint;
    if (size < seen.size) {
      return refuse("shorter", `the log has ${size} entries; ${seen.size} were witnessed`);
    }
    if (!(await isExtended(log, seen, checkpoint))) {
      return refuse(
        "differs",
        `the log is not a continuation of the ${seen.size} entries that were witnessed`,
      );
    }
  }
  const root = rootOf(checkpoint);
  for (const { seq, bytes } of rotations) {
    const proof = hashes(await log.inclusionProof(seq, size));
    if (!verifyInclusion(seq, size, leafHash(bytes), proof, root)) {
      return refuse("key", `entry ${seq}, which replaces the key, does not stand in the log`);
    }
  }
  // Never before the last one: a cosignature says that nothing larger had been seen by then.
  const cosignedAt = Math.max(parts.seconds, kept?.cosignedAt ?? 0);
  const cosigned = cosigner.cosign(note, cosignedAt);
  const index = size - 1;
  const proof = formatTlogProof({
    index,
    proof: hashes(await log.inclusionProof(index, size)),
    checkpoint: cosigned,
  });
  return ok({
    checkpoint,
    key: currentKey(chain).text,
    note: cosigned,
    proof,
    cosignedAt,
    rotatedTo: kept === null ? [] : chain.slice(1).map(({ key }) => key.text),
  });
}

interface RotationLine {
  readonly seq: number;
  readonly bytes: Uint8Array;
}

/** The chain of keys from the one that is kept, or from entry 0 on the first look. */
async function keysOf(
  log: WatchedLog,
  kept: Kept | null,
  size: number,
): Promise<Result<{ chain: KeyChain; rotations: readonly RotationLine[] }, string>> {
  let from = kept?.key;
  if (from === undefined) {
    const first = entryOf(await lineAt(log, 0));
    if (first?.kind !== "log.opened") return err("the first entry does not open a log");
    from = first.data.key;
  }
  const started = startChain(from, log.logId);
  if (!started.ok) return err(`the key ${from}: ${started.error}`);
  let chain = started.value;
  const rotations: RotationLine[] = [];
  for (const seq of log.rotations()) {
    // What came before the kept checkpoint led to the kept key; what stands after this one is for the next look.
    if (seq < (kept?.checkpoint.size ?? 0) || seq >= size) continue;
    const line = await lineAt(log, seq);
    const entry = entryOf(line);
    if (line === null || entry?.kind !== "log.key_rotated")
      return err(`entry ${seq} does not replace the key`);
    const extended = extendChain(chain, entry.data, seq);
    if (!extended.ok) return err(`entry ${seq} replaces the key: ${extended.error}`);
    chain = extended.value.chain;
    rotations.push(line);
  }
  return ok({ chain, rotations });
}

async function lineAt(log: WatchedLog, seq: number): Promise<RotationLine | null> {
  for await (const line of log.lines(seq)) return line;
  return null;
}

function entryOf(line: RotationLine | null): Entry | null {
  if (line === null) return null;
  const decoded = decodeEntry(Buffer.from(line.bytes).toString("utf8"), line.seq);
  return decoded.ok ? decoded.value : null;
}

async function isExtended(log: WatchedLog, seen: Checkpoint, now: Checkpoint): Promise<boolean> {
  try {
    const proof = hashes(await log.consistencyProof(seen.size, now.size));
    return verifyConsistency(seen.size, now.size, rootOf(seen), rootOf(now), proof);
  } catch (error) {
    // A store that finds its own lines changed proves nothing, which is the answer here.
    if (isFault(error, "LOG_CORRUPT")) return false;
    throw error;
  }
}

const rootOf = ({ root }: Checkpoint): TreeHash => fromHex(root.slice("sha256:".length)) as TreeHash;
const hashes = (proof: readonly string[]): TreeHash[] => proof.map((hex) => fromHex(hex) ?? "");
