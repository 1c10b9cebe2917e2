import { unpack, unpackedMembers, type Packed, type Packer, type Shape } from "../base/packed-json.ts";
import type { RequestId } from "../base/id.ts";
import type { KeyHold } from "../log/entry.ts";
import type { RequestEntries } from "./entries.ts";
import { createHeldPacker } from "./held-packer.ts";
import type { RequestRecord } from "./requests.ts";
import type { Phase } from "./summary.ts";

// A request that waits for people, kept small: thousands may wait for days, and until somebody answers hardly anything
// of one is looked at. What it was received and planned with is packed, and unpacked when it is asked for.

interface Documents {
  readonly received: RequestEntries["request.received"];
  readonly planned: RequestEntries["request.planned"] | null;
  readonly keys: readonly KeyHold[];
}

/** Packs the documents of the held requests of one home. */
export const createRequestPacker = (): Packer =>
  createHeldPacker(["bytes", "key", "summary"], ["requirement_digest", "toolDefinition"]);

const DOCUMENTS = unpackedMembers<HeldRequest, Documents>({
  received: (of) => of.documents().received,
  planned: (of) => of.documents().planned,
  keys: (of) => of.documents().keys,
});

export class HeldRequest implements RequestRecord, Packed {
  readonly id: RequestId;
  declare readonly received: Documents["received"];
  declare readonly planned: Documents["planned"];
  declare readonly keys: Documents["keys"];
  phase: Phase;
  code: string | null;
  readonly receivedAt: number;
  updatedAt: number;
  newestSeq: number;
  readonly shape: Shape;
  readonly own: string;

  constructor(record: Omit<RequestRecord, keyof Documents>, packed: Packed) {
    this.id = record.id;
    this.phase = record.phase;
    this.code = record.code;
    this.receivedAt = record.receivedAt;
    this.updatedAt = record.updatedAt;
    this.newestSeq = record.newestSeq;
    this.shape = packed.shape;
    this.own = packed.own;
    Object.defineProperties(this, DOCUMENTS);
  }

  /** All of them, unpacked once. */
  documents(): Documents {
    return unpack(this, [this.id]) as Documents;
  }
}

export function holdRequest(packer: Packer, record: RequestRecord): HeldRequest {
  const { received, planned, keys } = record;
  const documents: Documents = { received, planned, keys };
  return new HeldRequest(record, packer.pack(documents, [record.id]));
}
