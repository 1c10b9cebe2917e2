import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { CountersignError } from "../../errors.ts";
import { readWhole, systemFiles } from "./files.ts";
import { writeKeyFile } from "./keys.ts";
import { refuseReadableByOthers } from "./place.ts";

// Keys of a home that are 32 random bytes each, made when they are first needed.

/** The home's `mask` key: keyed hashes in masks and recognition keys. */
export const maskKey = (keysDir: string): Promise<Uint8Array> =>
  homeKey(
    keysDir,
    "mask.key",
    "put it back from a backup; without it re-sent calls are no longer recognised",
  );

/** The home's `round` key: seals what clients carry between the rounds of a held call. */
export const roundKey = (keysDir: string): Promise<Uint8Array> =>
  homeKey(keysDir, "round.key", "delete it: a new one is made, and clients that wait in a round call again");

async function homeKey(keysDir: string, name: string, hint: string): Promise<Uint8Array> {
  const path = join(keysDir, name);
  const existing = readWhole(systemFiles, path);
  if (existing === null) await writeKeyFile(systemFiles, keysDir, name, randomBytes(32));
  const key = existing ?? readWhole(systemFiles, path);
  refuseReadableByOthers(systemFiles, path);
  if (key?.length === 32) return key;
  throw new CountersignError("HOME_INSECURE", `${path} is not a key of 32 bytes`, { hint });
}
