import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeEntry } from "../log/encode.ts";
import type { Entry } from "../log/entry.ts";
import { extendChain, openWithChain, startChain, type KeyChain } from "../log/key-chain.ts";
import { readCheckpointFile, segmentNames } from "../log/verify-segments.ts";
import type { Checkpoint } from "../log/checkpoint.ts";

/** What the files of a log say, read without opening it: nothing is locked, cut or written. */
export interface LogFacts {
  readonly dir: string;
  readonly bytes: number;
  readonly opened: Entry<"log.opened"> | null;
  readonly newest: Entry | null;
  readonly adopted: Entry<"policy.adopted"> | null;
  /** Null where entry 0 or a rotation is not in order. */
  readonly keys: KeyChain | null;
  /** The file `checkpoint`, opened with the log's own keys; null where it is blank, missing or signed by none of them. */
  readonly checkpoint: Checkpoint | null;
  readonly checkpointNote: string | null;
}

/** Reads every segment once. Null where there is no log. */
export async function readLogFacts(dir: string): Promise<LogFacts | null> {
  const names = await segmentNames(dir).catch(() => []);
  if (names.length === 0) return null;
  let [bytes, seq] = [0, 0];
  let opened: LogFacts["opened"] = null;
  let adopted: LogFacts["adopted"] = null;
  let last: Buffer | null = null;
  let keys: KeyChain | null = null;
  for (const name of names) {
    const segment = await readFile(join(dir, name));
    bytes += segment.length;
    for (let from = 0; ; seq += 1) {
      const end = segment.indexOf(0x0a, from);
      if (end < 0) break;
      last = segment.subarray(from, end);
      const entry = wanted(last, seq);
      if (entry?.kind === "log.opened" && seq === 0) {
        opened = entry;
        const started = startChain(entry.data.key, entry.data.log);
        keys = started.ok ? started.value : null;
      } else if (entry?.kind === "policy.adopted") adopted = entry;
      else if (entry?.kind === "log.key_rotated" && keys !== null) {
        const extended = extendChain(keys, entry.data, seq);
        keys = extended.ok ? extended.value.chain : null;
      }
      from = end + 1;
    }
  }
  const newest = last === null ? null : entryOf(last, seq - 1);
  const checkpointNote = await readCheckpointFile(dir);
  const checkpoint = checkpointNote === null || keys === null ? null : openWithChain(checkpointNote, keys);
  return {
    ...{ dir, bytes, opened, newest, adopted, keys, checkpointNote },
    checkpoint: checkpoint?.ok === true ? checkpoint.value : null,
  };
}

const WANTED = ["log.opened", "log.key_rotated", "policy.adopted"].map((kind) => `"kind":"${kind}"`);

/** The entry, if it is one that matters here; all others are not even parsed. */
function wanted(line: Buffer, seq: number): Entry | null {
  const front = line.subarray(0, 128);
  return WANTED.some((kind) => front.includes(kind)) ? entryOf(line, seq) : null;
}

function entryOf(line: Buffer, seq: number): Entry | null {
  const decoded = decodeEntry(line.toString("utf8"), seq);
  return decoded.ok ? decoded.value : null;
}
