import { CountersignError } from "../../errors.ts";
import { formatCheckpoint, type Isolation } from "../../log/checkpoint.ts";
import type { Entry, LogEntries } from "../../log/entry.ts";
import {
  currentKey,
  extendChain,
  openWithChain,
  rotationText,
  startChain,
  type ChainedKey,
  type KeyChain,
} from "../../log/key-chain.ts";
import { signNote } from "../../log/note.ts";
import type { Digest } from "../../base/digest.ts";
import type { CheckpointSigner } from "./checkpoint-file.ts";
import type { Files } from "./files.ts";
import { takeLogKey, type LogKey } from "./keys.ts";

// The log's key as one process holds it, and the keys that were in force before.
//
// Rotating is: make `log.key.next` → append the entry that both keys signed → rename it to `log.key`. What a crash leaves:
//   before the entry    a key that nobody uses; the next rotation takes it up
//   after the entry     the entry decides: whoever takes it in next, with the lock held, does the renaming
// Every process takes in what others wrote before it signs, with the lock held, so none signs with a key that was left.

export interface KeyRing extends CheckpointSigner {
  /** The key in force. */
  key(): LogKey;
  /** Every key that the log has had. */
  chain(): KeyChain;
  /**
   * Makes ready for what `entries` say of keys; what it returns switches over, at once and without fail.
   * @throws CountersignError `LOG_KEY_MISMATCH` where the private half is not here, `LOG_CORRUPT`
   */
  prepare(entries: readonly Entry[]): Promise<() => void>;
  /** @throws CountersignError `LOG_KEY_MISMATCH` where the rotation does not follow from the key in force */
  check(rotation: LogEntries["log.key_rotated"], seq: number): void;
  /** The note in which the key in force and `next` agree. */
  signRotation(next: LogKey, size: number, root: Digest): string;
  /** Takes up the keys of a snapshot. */
  restore(keys: readonly { readonly key: string; readonly from: number }[]): void;
}

export function createKeyRing(parts: {
  readonly files: Files;
  readonly keysDir: string;
  /** What `log.key` holds. */
  readonly key: LogKey;
  /** Entry 0. */
  readonly opened: LogEntries["log.opened"];
  readonly isolation: Isolation;
  readonly signerOf: (key: LogKey) => CheckpointSigner;
}): KeyRing {
  const { files, keysDir, opened, signerOf } = parts;
  const started = startChain(opened.key, opened.log);
  if (!started.ok) throw new CountersignError("LOG_CORRUPT", `entry 0: ${started.error}`);
  let chain = started.value;
  let key = parts.key;
  let signer = signerOf(key);

  return {
    key: () => key,
    chain: () => chain,
    signCheckpoint: (size, root) => signer.signCheckpoint(size, root),
    openCheckpoint(note) {
      const checkpoint = openWithChain(note, chain);
      return checkpoint.ok ? { size: checkpoint.value.size, root: checkpoint.value.root } : null;
    },
    async prepare(entries) {
      let next = chain;
      for (const entry of entries) {
        if (entry.kind !== "log.key_rotated") continue;
        const extended = extendChain(next, entry.data, entry.seq);
        if (!extended.ok) {
          throw new CountersignError("LOG_CORRUPT", `entry ${entry.seq} rotates the key: ${extended.error}`);
        }
        next = extended.value.chain;
      }
      const vkey = currentKey(next).text;
      if (vkey === key.vkey) return () => void (chain = next);
      const taken = await takeLogKey(files, keysDir, vkey);
      return () => {
        chain = next;
        key = taken;
        signer = signerOf(taken);
      };
    },
    check(rotation, seq) {
      const extended = extendChain(chain, rotation, seq);
      if (extended.ok) return;
      throw new CountersignError("LOG_KEY_MISMATCH", `the key was not rotated: ${extended.error}`, {
        hint: "another process may have rotated it; look: countersign log list",
      });
    },
    signRotation(next, size, root) {
      const checkpoint = formatCheckpoint({ origin: key.name, size, root, isolation: parts.isolation });
      return signNote(rotationText(checkpoint, next.vkey), [key, next]);
    },
    restore(keys) {
      const restored = keys.map(({ key: text, from }, i): ChainedKey => {
        const parsed = startChain(text, opened.log);
        if (!parsed.ok) throw new RangeError(parsed.error);
        return { key: currentKey(parsed.value), from, to: keys[i + 1]?.from ?? null };
      });
      if (restored[0]?.key.text !== opened.key) throw new RangeError("another first key");
      chain = restored;
    },
  };
}
