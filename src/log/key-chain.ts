import { err, ok, type Result } from "../base/result.ts";
import { openCheckpoint, originOf, parseCheckpointText, type Checkpoint } from "./checkpoint.ts";
import type { LogEntries } from "./entry.ts";
import { openNote, parseVerifierKey, type VerifierKey } from "./note.ts";

// The keys that a log has had. Entry 0 names the first; every `log.key_rotated` hands over to the next one.
//
//   R1. A rotation is a checkpoint of what stood before it with one more line, `key <new verifier key>`, signed by the
//       old key and by the new one: neither can be made to follow, or to be followed, without signing so.
//   R2. A checkpoint of n entries is signed by a key that was in force when entry n-1 was written: the rotation's own
//       entry is the last that the old key may sign for and the first that the new one may.
//   R3. A key that was left is never taken up again.

/** One key of a log, and the sizes of the log that it may sign. */
export interface ChainedKey {
  readonly key: VerifierKey;
  readonly from: number;
  /** Null: still in force. */
  readonly to: number | null;
}

/** Oldest first; never empty. */
export type KeyChain = readonly ChainedKey[];

export type Rotation = LogEntries["log.key_rotated"];

const KEY_LINE = "key ";

/** The chain of a log that has had one key; an error where the key's name is not the log's. */
export function startChain(vkey: string, log: string): Result<KeyChain, string> {
  const parsed = parseVerifierKey(vkey);
  if (!parsed.ok) return parsed;
  if (parsed.value.name !== originOf(log as Parameters<typeof originOf>[0])) {
    return err(`the key is called ${parsed.value.name}`);
  }
  return ok([{ key: parsed.value, from: 0, to: null }]);
}

/** The key in force. */
export const currentKey = (chain: KeyChain): VerifierKey => (chain.at(-1) as ChainedKey).key;

/** The text that both keys sign. `checkpoint` is the text of a checkpoint of the log before the rotation's entry. */
export const rotationText = (checkpoint: string, next: string): string => `${checkpoint}${KEY_LINE}${next}\n`;

export interface OpenedRotation {
  readonly chain: KeyChain;
  /** What the old key signed last; its root has to be the log's at that size. */
  readonly signed: Checkpoint;
}

/** The chain after the rotation of entry `seq`; an error that says what is wrong with it (R1, R3). */
export function extendChain(
  chain: KeyChain,
  rotation: Rotation,
  seq: number,
): Result<OpenedRotation, string> {
  const old = currentKey(chain);
  if (rotation.from !== old.text) return err(`it replaces ${String(rotation.from)}, which is not in force`);
  const next = parseVerifierKey(String(rotation.to));
  if (!next.ok) return next;
  if (next.value.name !== old.name) return err(`the new key is called ${next.value.name}`);
  if (next.value.algorithm !== old.algorithm) return err("the new key is of another kind");
  if (chain.some(({ key }) => key.text === next.value.text)) return err("the log has had that key before");
  const opened = openNote(String(rotation.note), [old, next.value]);
  if (!opened.ok) return opened;
  for (const key of [old, next.value]) {
    if (!opened.value.signedBy.includes(key)) return err(`${key.text} did not sign it`);
  }
  const signed = parseCheckpointText(opened.value.text);
  if (!signed.ok) return signed;
  if (signed.value.origin !== old.name) return err(`it is about ${signed.value.origin}`);
  const named = signed.value.extensions.filter((line) => line.startsWith(KEY_LINE));
  if (named.length !== 1 || named[0] !== `${KEY_LINE}${next.value.text}`) return err("it names another key");
  if (signed.value.size > seq) return err(`it was signed for ${signed.value.size} entries`);
  const before = chain.slice(0, -1);
  const last = { ...(chain.at(-1) as ChainedKey), to: seq + 1 };
  return ok({ chain: [...before, last, { key: next.value, from: seq + 1, to: null }], signed: signed.value });
}

/** A checkpoint signed by a key of the chain that may sign for its size (R2). */
export function openWithChain(note: string, chain: KeyChain): Result<Checkpoint, string> {
  let why = "no known key signed the note";
  for (const { key, from, to } of [...chain].reverse()) {
    const opened = openCheckpoint(note, key);
    if (!opened.ok) {
      // A known key's signature that does not verify says more than that another key is absent.
      if (!opened.error.startsWith("no known key")) why = opened.error;
      continue;
    }
    const { size } = opened.value;
    if (size >= from && (to === null || size <= to)) return opened;
    why =
      size < from
        ? `${key.text} signed ${size} entries, and came into force with ${from}`
        : `${key.text} signed ${size} entries, and was replaced after ${String(to)}`;
  }
  return err(why);
}
