import type { Digest } from "../base/digest.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { EntryData } from "./entry.ts";
import { finding, type Finding } from "./finding.ts";
import { currentKey, extendChain, openWithChain, startChain, type KeyChain } from "./key-chain.ts";
import { fromHex, type TreeHash } from "./merkle.ts";
import { parseVerifierKey } from "./note.ts";
import { locateChanges } from "./verify-locate.ts";
import { createReading, type Reading } from "./verify-reading.ts";
import { readCheckpointFile, readLines, readSegments, segmentNames } from "./verify-segments.ts";

// Verifies a whole log: bytes, order, root, signature, decisions, and the order of every request's entries.
//
// One pass, no copy of a line, JSON parsed only where an entry's kind needs it. Once a line is not the one due, the
// rules of requests are no longer judged: what is missing would look like a broken rule.

export interface VerifyLogOptions {
  /** Verifier key that is trusted. Absent: the one in entry 0, and the report says that the log vouches for itself. */
  readonly key?: string;
  /** Signed note; absent: the file `checkpoint` beside the segments. */
  readonly checkpoint?: string;
  /** Checkpoints that were kept elsewhere: the log has to extend each. */
  readonly against?: readonly string[];
  /** Threads to hash with; default 2 for logs from 64 MiB on, where the machine has them. */
  readonly threads?: 1 | 2;
  /** Bytes read so far. */
  readonly onProgress?: (bytes: number) => void;
}

/** A directory of segments, or the lines of a store from entry 0 on. */
export type LogSource = string | AsyncIterable<{ readonly bytes: Uint8Array }>;

export interface LogReport {
  /** True where nothing was found but notices. */
  readonly ok: boolean;
  readonly logId: string | null;
  /** The key that the checkpoint was checked with. */
  readonly key: string | null;
  /** Verified; null where there is none. */
  readonly checkpoint: Checkpoint | null;
  readonly entries: number;
  readonly bytes: number;
  /** Entries after the checkpoint. */
  readonly uncovered: number;
  readonly requests: number;
  readonly decisions: number;
  readonly findings: readonly Finding[];
  /** How many findings there were beyond the first thousand. */
  readonly unlisted: number;
}

export async function verifyLog(source: LogSource, options: VerifyLogOptions = {}): Promise<LogReport> {
  const reading = createReading();
  const onChunk = options.onProgress ?? (() => undefined);
  // Before the lines: a gateway that goes on writing signs what comes after, and never less than what stood here.
  const note = options.checkpoint ?? (typeof source === "string" ? await readCheckpointFile(source) : null);
  const names = typeof source === "string" ? await segmentNames(source) : [];
  const read =
    typeof source === "string"
      ? await readSegments(source, names, options.threads ?? "auto", reading.onLines, onChunk)
      : await readLines(source, reading.onLines, onChunk);
  const { found, tree, sequence } = reading;
  if (read.torn !== null) {
    const message = `${read.torn.bytes} bytes after the last newline: a write that never ended`;
    found(finding("torn", { place: read.torn.place, message }));
  }
  for (const each of sequence.finish()) found(each);

  const keys = trustedKeys(reading, options.key, found);
  const checkpoint = checkCheckpoint(note, keys, reading, found);
  if (checkpoint !== null && checkpoint.size <= tree.size && typeof source === "string" && !sequence.broken) {
    const root = rootHash(checkpoint.root);
    if (tree.rootAt(checkpoint.size) !== root) {
      const signed = { size: checkpoint.size, root };
      for (const each of await locateChanges({ directory: source, names, tree, signed })) found(each);
    }
  }
  for (const earlier of options.against ?? []) checkAgainst(earlier, keys, reading, found);

  return {
    ok: reading.findings.every(({ severity }) => severity === "notice"),
    logId: reading.opened?.log ?? null,
    key: keys === null ? null : currentKey(keys).text,
    checkpoint,
    entries: tree.size,
    bytes: read.bytes,
    uncovered: Math.max(0, tree.size - (checkpoint?.size ?? 0)),
    requests: reading.requests,
    decisions: reading.decisions,
    findings: reading.findings,
    unlisted: reading.unlisted,
  };
}

type Found = (finding: Finding) => void;

const rootHash = (root: Digest): TreeHash => fromHex(root.slice("sha256:".length)) as TreeHash;

/** The keys to check with: those of the log, if the pinned one is among them; else the pinned one alone. */
function trustedKeys(reading: Reading, pinned: string | undefined, found: Found): KeyChain | null {
  const { opened } = reading;
  const own = opened === null ? null : chainOf(reading, opened, found);
  if (pinned === undefined) {
    found(finding("untrusted"));
    return own;
  }
  const trusted = parseVerifierKey(pinned);
  if (!trusted.ok) {
    found(finding("key_mismatch", { message: `the trusted key: ${trusted.error}` }));
    return null;
  }
  if (own?.some(({ key }) => key.text === pinned) === true) return own;
  if (opened !== null) {
    found(finding("key_mismatch", { seq: 0, message: `entry 0 names the key ${String(opened.key)}` }));
  }
  return [{ key: trusted.value, from: 0, to: null }];
}

/** The key of entry 0 and those that replaced it, as far as each was signed by the one before. */
function chainOf(
  { rotations, tree }: Reading,
  opened: EntryData["log.opened"],
  found: Found,
): KeyChain | null {
  const started = startChain(String(opened.key), opened.log);
  if (!started.ok) {
    found(finding("key_mismatch", { seq: 0, message: `the key of entry 0: ${started.error}` }));
    return null;
  }
  let chain = started.value;
  for (const { seq, data } of rotations) {
    const extended = extendChain(chain, data, seq);
    const why = !extended.ok
      ? extended.error
      : tree.rootAt(extended.value.signed.size) !== rootHash(extended.value.signed.root)
        ? "the old key signed another log"
        : null;
    if (!extended.ok || why !== null) {
      found(finding("key_mismatch", { seq, message: `entry ${seq} replaces the key: ${String(why)}` }));
      return chain;
    }
    chain = extended.value.chain;
  }
  return chain;
}

function checkCheckpoint(
  note: string | null,
  keys: KeyChain | null,
  reading: Reading,
  found: Found,
): Checkpoint | null {
  const { tree, sequence, highest, last } = reading;
  if (note === null) {
    found(finding("no_checkpoint"));
    return null;
  }
  const opened = keys === null ? null : openWithChain(note, keys);
  if (opened === null || !opened.ok) {
    found(
      finding("checkpoint_invalid", { message: opened === null ? "no key to check it with" : opened.error }),
    );
    return null;
  }
  const checkpoint = opened.value;
  if (checkpoint.isolation === "none") found(finding("isolation_none"));
  if (highest + 1 < checkpoint.size) {
    const missing = `entries ${highest + 1} to ${checkpoint.size - 1}`;
    const message = `the log ends after entry ${highest}; ${missing} were signed`;
    found(finding("truncated", { seq: highest + 1, place: last, message }));
  } else if (tree.rootAt(checkpoint.size) !== rootHash(checkpoint.root)) {
    const message = `the first ${checkpoint.size} entries do not have the root that was signed`;
    found(finding("root_mismatch", { message }));
  }
  if (!sequence.broken && tree.size > checkpoint.size) {
    const message = `${tree.size - checkpoint.size} entries after the checkpoint of ${checkpoint.size}`;
    found(finding("uncovered", { seq: checkpoint.size, message }));
  }
  return checkpoint;
}

function checkAgainst(note: string, keys: KeyChain | null, { tree, highest }: Reading, found: Found): void {
  const opened = keys === null ? null : openWithChain(note, keys);
  if (opened === null || !opened.ok) {
    const message = `an earlier checkpoint: ${opened === null ? "no key to check it with" : opened.error}`;
    found(finding("checkpoint_invalid", { message }));
    return;
  }
  const { size, root } = opened.value;
  if (size > highest + 1) {
    found(
      finding("inconsistent", { message: `${size} entries were signed earlier, ${highest + 1} are here` }),
    );
  } else if (tree.rootAt(size) !== rootHash(root)) {
    found(finding("inconsistent", { message: `the first ${size} entries are not those signed earlier` }));
  }
}
