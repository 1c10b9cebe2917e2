import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestBytes, type Digest, type DigestTag } from "../../src/base/digest.ts";
import type { LogId, RequestId } from "../../src/base/id.ts";
import {
  createCheckpointSigner,
  formatCheckpoint,
  originOf,
  type CheckpointSigner,
  type Isolation,
} from "../../src/log/checkpoint.ts";
import type { Entry, EntryDraft } from "../../src/log/entry.ts";
import { rotationText } from "../../src/log/key-chain.ts";
import { signNote } from "../../src/log/note.ts";
import { leafHash, rootOf, toHex, type TreeHash } from "../../src/log/merkle.ts";
import { consistencyPlan, foldPlan, inclusionPlan, type SubtreeRef } from "../../src/log/merkle-proof.ts";
import type { BlobRef } from "../../src/request/action-request.ts";
import type { Store } from "../../src/store/store.ts";

// A log written by the format's text alone, without the store: a line at a time, its tree recomputed from scratch.
// It gives tests the exact bytes to damage, and the part of the store's port that receipts are built from.

export interface WrittenLog {
  readonly logId: LogId;
  readonly signer: CheckpointSigner;
  readonly lines: string[];
  append(draft: EntryDraft): Entry;
  /** Appends a replacement of the key; the new one signs from then on. Its private half, to go on with. */
  rotate(key: string): Entry;
  root(size?: number): Digest;
  checkpoint(size?: number): string;
  putBlob(tag: DigestTag, bytes: Uint8Array, type?: string): BlobRef;
  /** Segments, checkpoint and leaf tiles as they lie on disk; `lines` may be damaged first. */
  writeTo(
    directory: string,
    options?: { lines?: readonly string[]; perSegment?: number; checkpoint?: string | null },
  ): void;
  readonly store: Pick<
    Store,
    "logId" | "head" | "lines" | "entriesOf" | "checkpoint" | "inclusionProof" | "consistencyProof" | "rootAt"
  > & { readonly blobs: Pick<Store["blobs"], "get" | "salt"> };
}

export function createWrittenLog(parts: {
  readonly key: string;
  readonly logId: LogId;
  readonly isolation?: Isolation;
  /** Epoch milliseconds of the first entry; each entry is a second later. */
  readonly start: number;
  /** Salts are the digest of a counter, so that a log is the same each time it is written. */
  readonly saltSeed?: string;
}): WrittenLog {
  const isolation = parts.isolation ?? "service";
  const signerOf = (key: string) => createCheckpointSigner({ key, logId: parts.logId, isolation });
  let key = parts.key;
  let signer = signerOf(key);
  const lines: string[] = [];
  const entries: Entry[] = [];
  const blobs = new Map<string, { salt: Buffer; bytes: Uint8Array }>();
  const leaves = (): TreeHash[] => lines.map((line) => leafHash(Buffer.from(line)));
  const subtreeOf =
    (all: readonly TreeHash[]) =>
    ({ level, index }: SubtreeRef): TreeHash =>
      rootOf(all.slice(index * 2 ** level, (index + 1) * 2 ** level));
  const root = (size = lines.length): Digest => `sha256:${toHex(rootOf(leaves().slice(0, size)))}`;
  const checkpoint = (size = lines.length): string => signer.signCheckpoint(size, root(size));

  return {
    logId: parts.logId,
    get signer() {
      return signer;
    },
    lines,
    root,
    checkpoint,
    append(draft) {
      const seq = lines.length;
      const time = new Date(parts.start + seq * 1_000).toISOString();
      const keys = draft.keys === undefined ? "" : `,"keys":${JSON.stringify(draft.keys)}`;
      const line =
        `{"v":1,"seq":${seq},"time":"${time}","kind":"${draft.kind}","subject":${JSON.stringify(draft.subject)},` +
        `"policy":${JSON.stringify(draft.policy)}${keys},"data":${JSON.stringify(draft.data)}}`;
      lines.push(line);
      const entry = JSON.parse(line) as Entry;
      entries.push(entry);
      return entry;
    },
    rotate(next) {
      const to = signerOf(next);
      const name = originOf(parts.logId);
      const size = lines.length;
      const text = formatCheckpoint({ origin: name, size, root: root(), isolation });
      const note = signNote(rotationText(text, to.vkey), [
        { name, privateKeyPem: key },
        { name, privateKeyPem: next },
      ]);
      const data = { from: signer.vkey, to: to.vkey, note };
      const entry = this.append({ kind: "log.key_rotated", subject: "log", policy: null, data });
      key = next;
      signer = to;
      return entry;
    },
    putBlob(tag, bytes, type = "application/json") {
      const salt = createHash("sha256")
        .update(`${parts.saltSeed ?? "salt"} ${blobs.size}`)
        .digest()
        .subarray(0, 16);
      const digest = digestBytes(tag, bytes, salt);
      blobs.set(digest, { salt, bytes });
      return { digest, bytes: bytes.length, type };
    },
    writeTo(directory, options = {}) {
      mkdirSync(join(directory, "tiles"), { recursive: true });
      const written = options.lines ?? lines;
      const per = options.perSegment ?? written.length + 1;
      for (let i = 0; i * per < written.length || i === 0; i += 1) {
        const text = written.slice(i * per, (i + 1) * per).map((line) => `${line}\n`);
        writeFileSync(join(directory, `${String(i + 1).padStart(6, "0")}.jsonl`), text.join(""));
      }
      const note = options.checkpoint === undefined ? checkpoint() : options.checkpoint;
      if (note !== null) writeFileSync(join(directory, "checkpoint"), note);
      const full = leaves().slice(0, Math.floor(lines.length / 256) * 256);
      if (full.length > 0) writeFileSync(join(directory, "tiles", "0"), Buffer.from(full.join(""), "latin1"));
    },
    store: {
      logId: parts.logId,
      head: () => ({
        size: lines.length,
        root: root(),
        newestTime: parts.start + (lines.length - 1) * 1_000,
      }),
      async *lines(fromSeq) {
        for (let seq = fromSeq; seq < lines.length; seq += 1)
          yield { seq, bytes: Buffer.from(lines[seq] as string) };
      },
      async *entriesOf(subject: RequestId) {
        for (const [seq, entry] of entries.entries()) {
          if (entry.subject === subject)
            yield { entry, line: { seq, bytes: Buffer.from(lines[seq] as string) } };
        }
      },
      checkpoint: async () => checkpoint(),
      inclusionProof: async (seq, size) =>
        foldPlan(inclusionPlan(seq, size), subtreeOf(leaves().slice(0, size))).map(toHex),
      consistencyProof: async (oldSize, newSize) =>
        foldPlan(consistencyPlan(oldSize, newSize), subtreeOf(leaves().slice(0, newSize))).map(toHex),
      rootAt: async (size) => root(size),
      blobs: {
        async get(_tag, ref) {
          const blob = blobs.get(ref.digest);
          if (blob === undefined) throw new Error(`no blob ${ref.digest}`);
          return blob.bytes;
        },
        async salt(ref) {
          const blob = blobs.get(ref.digest);
          if (blob === undefined) throw new Error(`no blob ${ref.digest}`);
          return blob.salt;
        },
      },
    },
  };
}
