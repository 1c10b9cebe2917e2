import type { Files } from "./files.ts";
import { createOffsetTable, prefixOf, type OffsetTable } from "./offset-table.ts";
import {
  ALIGN,
  isErased,
  PACK_HEAD,
  readHead,
  RECORD_HEAD_BYTES,
  recordBytes,
  type RecordHead,
} from "./pack-format.ts";
import { findInIndex, loadPackIndex, readPackIndex } from "./pack-index.ts";

// One pack as a reader sees it: where its records are, from its index and from a scan of what the index does not cover.
//
//   Its owner only appends, so what was scanned once stays as it was, but for payloads that are erased.

export interface FoundRecord {
  readonly head: RecordHead;
  readonly offset: number;
  /** All zeros where it was erased. */
  readonly payload: Buffer;
}

export interface PackFile {
  readonly path: string;
  /** Bytes whose records are known. */
  readonly scanned: number;
  /** Records that the index does not cover. */
  readonly table: OffsetTable;
  /** Requests of the keys seen, by offset, erased ones included. Only where `keepKeys` was asked for. */
  readonly keys: Map<number, string>;
  /** The record with this digest that `fits`; null if there is none. Takes in what was appended since. */
  find(fd: number, digest: Buffer, fits: (head: RecordHead) => boolean): FoundRecord | null;
  /** Takes in what was appended since; false where something that is no record stands in it. */
  scan(fd: number): boolean;
  /** The owner's own append: the record at `offset` is known without a scan. */
  note(head: Pick<RecordHead, "kind" | "digest" | "request">, offset: number, end: number): void;
  read(fd: number, offset: number): FoundRecord | null;
}

const CHUNK_BYTES = 256 * 1024;

/** `whole`: take the index into memory too, to go on writing it. */
export function openPackFile(
  files: Files,
  path: string,
  { whole = false, keepKeys = false }: { readonly whole?: boolean; readonly keepKeys?: boolean } = {},
): PackFile {
  const indexPath = `${path}.idx`;
  const table = createOffsetTable();
  const keys = new Map<number, string>();
  // Keys are not in the index apart, so whoever needs them scans.
  /** So much of it is found by its index alone. */
  let indexed = whole || keepKeys ? 0 : readPackIndex(files, indexPath).covers;
  let scanned = whole && !keepKeys ? loadPackIndex(files, indexPath, table) : indexed;
  /** Something in it is no record: from there on every place is looked at, and no length is believed. */
  let isDamaged = false;
  scanned = Math.max(scanned, PACK_HEAD.length);

  const note: PackFile["note"] = ({ kind, digest, request }, offset, end) => {
    table.add(prefixOf(digest), offset);
    if (kind === "key" && keepKeys) keys.set(offset, request);
    scanned = end;
  };

  const scan: PackFile["scan"] = (fd) => {
    const size = files.size(fd);
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, Math.max(0, size - scanned)));
    while (scanned + RECORD_HEAD_BYTES <= size) {
      const from = scanned;
      const bytes = chunk.subarray(0, files.read(fd, chunk, 0, Math.min(chunk.length, size - from), from));
      while (scanned - from + RECORD_HEAD_BYTES <= bytes.length) {
        const head = readHead(bytes, scanned - from);
        const end = scanned + (head === null ? ALIGN : recordBytes(head.payloadBytes));
        // Not all there yet: its owner is writing it, or died over it.
        if (head !== null && end > size) return !isDamaged;
        if (head === null) isDamaged = true;
        else note(head, scanned, isDamaged ? scanned + ALIGN : end);
        if (head === null) scanned += ALIGN;
      }
      if (scanned === from) break;
    }
    return !isDamaged;
  };

  const read: PackFile["read"] = (fd, offset) => {
    const bytes = Buffer.alloc(RECORD_HEAD_BYTES);
    const count = files.read(fd, bytes, 0, bytes.length, offset);
    const head = count < bytes.length ? null : readHead(bytes, 0);
    if (head === null || offset + RECORD_HEAD_BYTES + head.payloadBytes > files.size(fd)) return null;
    const payload = Buffer.alloc(head.payloadBytes);
    let done = 0;
    while (done < payload.length) {
      const more = files.read(fd, payload, done, payload.length - done, offset + RECORD_HEAD_BYTES + done);
      if (more === 0) return null;
      done += more;
    }
    return { head, offset, payload };
  };

  return {
    path,
    table,
    keys,
    note,
    scan,
    read,
    get scanned() {
      return scanned;
    },
    find(fd, digest, fits) {
      const prefix = prefixOf(digest);
      const look = (offsets: readonly number[]): FoundRecord | null => {
        let erased: FoundRecord | null = null;
        for (const offset of offsets) {
          const found = read(fd, offset);
          if (found === null || !found.head.digest.equals(digest) || !fits(found.head)) continue;
          if (!isErased(found.payload)) return found;
          erased = found;
        }
        return erased;
      };
      const known = look(table.find(prefix));
      if (known !== null) return known;
      const before = table.count;
      scan(fd);
      const fresh = table.count === before ? null : look(table.find(prefix));
      if (fresh !== null || indexed === 0) return fresh;
      const offsets = findInIndex(files, indexPath, indexed, prefix);
      if (offsets !== null) return look(offsets);
      // Somebody took it away: it was a cache.
      indexed = 0;
      scanned = PACK_HEAD.length;
      scan(fd);
      return look(table.find(prefix));
    },
  };
}

/**
 * Whether a pack that nobody writes to has a document that was not erased. What is no record is passed over, as a reader
 * does: half a record at its end is what somebody left who was killed or lost power, and nothing names it.
 */
export function holdsDocuments(files: Files, fd: number): boolean {
  const size = files.size(fd);
  const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, size));
  let from = 0;
  let length = 0;
  let isDamaged = false;
  for (let at = PACK_HEAD.length; at + RECORD_HEAD_BYTES + ALIGN <= size;) {
    if (at + RECORD_HEAD_BYTES + ALIGN > from + length) {
      from = at;
      length = files.read(fd, chunk, 0, Math.min(chunk.length, size - from), from);
      if (length < RECORD_HEAD_BYTES + ALIGN) return true;
    }
    const bytes = chunk.subarray(0, length);
    const head = readHead(bytes, at - from);
    const end = at + (head === null ? ALIGN : recordBytes(head.payloadBytes));
    if (head === null || end > size) isDamaged = true;
    else if (!isErased(bytes.subarray(at - from + RECORD_HEAD_BYTES))) return true;
    at = isDamaged ? at + ALIGN : end;
  }
  return false;
}
