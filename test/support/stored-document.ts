import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BlobRef } from "../../src/request/action-request.ts";
import { RECORD_HEAD_BYTES } from "../../src/store/embedded/pack-format.ts";

/** Changes a record document where it lies, in a file of its own or in a pack; what it becomes is as long as it was. */
export function tamperDocument(dataDir: string, ref: BlobRef, change: (text: string) => string): void {
  const hex = ref.digest.slice(7);
  const below = join(dataDir, "blobs");
  for (const name of readdirSync(below, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith(hex) && !name.endsWith(".pack")) continue;
    const file = join(below, name);
    const bytes = readFileSync(file);
    const digestAt = name.endsWith(hex) ? -1 : bytes.indexOf(Buffer.from(hex, "hex"));
    if (digestAt === -1 && !name.endsWith(hex)) continue;
    // The digest stands 16 bytes into its record.
    const from = digestAt === -1 ? 0 : digestAt - 16 + RECORD_HEAD_BYTES;
    const to = digestAt === -1 ? bytes.length : from + 16 + ref.bytes;
    const before = bytes.toString("latin1", from, to);
    const after = Buffer.from(change(before), "latin1");
    if (after.length !== to - from || after.toString("latin1") === before) throw new Error("no such change");
    after.copy(bytes, from);
    writeFileSync(file, bytes);
    return;
  }
  throw new Error(`${ref.digest} is nowhere`);
}
