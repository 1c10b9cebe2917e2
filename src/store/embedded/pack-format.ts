import { hash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { RequestId } from "../../base/id.ts";

// The bytes of a pack: a file of small documents, one record behind the other.
//
//   pack    "countersign-pack" (16 bytes), then records, each at a multiple of 16
//   record  magic "doc1" or "key1" (4) ‖ payload length, big-endian (4) ‖ CRC-32 of what stands around it (4) ‖ zeros (4)
//           ‖ digest (32) ‖ id of the request whose key it is sealed with, or zeros (32) ‖ payload ‖ zeros up to 16
//
// The payload of a document is salt ‖ bytes, or that sealed; of a key, the wrapped key, and its digest is the SHA-256 of
// the request's id. A record is erased by writing zeros over its payload: a salt, a nonce, is never all zeros.

export const PACK_HEAD = Buffer.from("countersign-pack");
/** Records begin at multiples of this. */
export const ALIGN = 16;
export const RECORD_HEAD_BYTES = 80;
/** No pack holds a larger one. What says so of itself is no record. */
export const MAX_PAYLOAD_BYTES = 128 * 1024;
/** An erased payload begins with so many zeros. */
const ERASED_BYTES = 12;
const REQUEST_AT = 48;

export type RecordKind = "document" | "key";

export interface PackRecord {
  readonly kind: RecordKind;
  /** 32 bytes. */
  readonly digest: Buffer;
  /** The request whose key the document is sealed with, or whose key this is. */
  readonly request?: RequestId;
  readonly payload: Uint8Array;
}

export interface RecordHead {
  readonly kind: RecordKind;
  readonly digest: Buffer;
  readonly request: string;
  readonly payloadBytes: number;
}

const MAGIC: Readonly<Record<RecordKind, string>> = { document: "doc1", key: "key1" };
const NONE = Buffer.alloc(RECORD_HEAD_BYTES - REQUEST_AT);

/** Bytes of a whole record, with the zeros up to the next. */
export const recordBytes = (payloadBytes: number): number =>
  Math.ceil((RECORD_HEAD_BYTES + payloadBytes) / ALIGN) * ALIGN;

/** What names a request's key in a pack. */
export const keyDigest = (request: RequestId): Buffer => hash("sha256", request, "buffer");

/** Writes a record to `at` of zeroed bytes; where the next one begins. */
export function writeRecord(record: PackRecord, into: Buffer, at: number): number {
  into.write(MAGIC[record.kind], at, "latin1");
  into.writeUInt32BE(record.payload.length, at + 4);
  record.digest.copy(into, at + 16);
  if (record.request !== undefined) into.write(record.request, at + REQUEST_AT, "latin1");
  into.writeUInt32BE(checksum(into, at), at + 8);
  into.set(record.payload, at + RECORD_HEAD_BYTES);
  return at + recordBytes(record.payload.length);
}

/** The head of the record at `at`; null where none begins, or less than a head is there. */
export function readHead(bytes: Buffer, at: number): RecordHead | null {
  if (bytes.length - at < RECORD_HEAD_BYTES) return null;
  const magic = bytes.toString("latin1", at, at + 4);
  const kind = magic === MAGIC.document ? "document" : magic === MAGIC.key ? "key" : null;
  if (kind === null || bytes.readUInt32BE(at + 8) !== checksum(bytes, at)) return null;
  const payloadBytes = bytes.readUInt32BE(at + 4);
  if (payloadBytes > MAX_PAYLOAD_BYTES) return null;
  const request = bytes.subarray(at + REQUEST_AT, at + RECORD_HEAD_BYTES);
  return {
    kind,
    digest: bytes.subarray(at + 16, at + REQUEST_AT),
    request: request.equals(NONE) ? "" : request.toString("latin1").replace(/\0+$/, ""),
    payloadBytes,
  };
}

export const isErased = (payload: Uint8Array): boolean => {
  for (let i = 0; i < ERASED_BYTES; i += 1) if (payload[i] !== 0) return false;
  return true;
};

const checksum = (bytes: Buffer, at: number): number =>
  crc32(bytes.subarray(at + 12, at + RECORD_HEAD_BYTES), crc32(bytes.subarray(at, at + 8)));
