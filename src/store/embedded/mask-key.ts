import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { CountersignError } from "../../errors.ts";
import { readWhole, systemFiles } from "./files.ts";
import { writeKeyFile } from "./keys.ts";
import { refuseReadableByOthers } from "./place.ts";

/** The home's `mask` key: keyed hashes in masks and recognition keys. Made once. */
export async function maskKey(keysDir: string): Promise<Uint8Array> {
  const path = join(keysDir, "mask.key");
  const existing = readWhole(systemFiles, path);
  if (existing === null) await writeKeyFile(systemFiles, keysDir, "mask.key", randomBytes(32));
  const key = existing ?? readWhole(systemFiles, path);
  refuseReadableByOthers(systemFiles, path);
  if (key?.length === 32) return key;
  throw new CountersignError("HOME_INSECURE", `${path} is not a key of 32 bytes`, {
    hint: "put it back from a backup; without it re-sent calls are no longer recognised",
  });
}
