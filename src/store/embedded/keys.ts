import { createHash, createPrivateKey, createPublicKey, hkdfSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import { isId, type LogId } from "../../base/id.ts";
import { CountersignError } from "../../errors.ts";
import { readWhole, writeNewFile, type Files } from "./files.ts";
import { refuseReadableByOthers } from "./place.ts";

// The log's key. On disk it is one line in the form that Go's note tools write, so that nobody is locked in:
// PRIVATE+KEY+<name>+<8 hex digits of key hash>+<base64 of 0x01 ‖ Ed25519 seed>
// The name, and with it the log's id, is part of the key: a key cannot be put beside another log unnoticed.

const ORIGIN = "countersign.dev/log/";
const ED25519 = 0x01;
const LOG_KEY_FILE = "log.key";
/** The key that a rotation is about to put in force. */
const NEXT_KEY_FILE = "log.key.next";
const SEAL_KEY_FILE = "seal.key";
// RFC 8410: what stands before the 32 bytes in a PKCS #8 private and an SPKI public Ed25519 key.
const PKCS8_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");
const SPKI_HEAD_BYTES = 12;

/** The Ed25519 key of a log. */
export interface LogKey {
  readonly logId: LogId;
  /** Key name and checkpoint origin: `countersign.dev/log/<logId>`. */
  readonly name: string;
  /** First four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key), as C2SP signed-note defines them. */
  readonly keyHash: Uint8Array;
  /** Raw 32 bytes. */
  readonly publicKey: Uint8Array;
  /** C2SP verifier key: `<name>+<8 hex digits>+<base64 of 0x01 ‖ public key>`. */
  readonly vkey: string;
  /** PKCS #8, for whoever signs notes. Keep it in memory only. */
  readonly privateKeyPem: string;
  /** 32 bytes for another purpose, named by `label`. */
  derive(label: string): Uint8Array;
}

/** The log's key from its seed. */
export function logKeyFromSeed(logId: LogId, seed: Uint8Array): LogKey {
  const privateKey = createPrivateKey({
    key: Buffer.concat([PKCS8_HEAD, seed]),
    format: "der",
    type: "pkcs8",
  });
  const publicKey = createPublicKey(privateKey)
    .export({ format: "der", type: "spki" })
    .subarray(SPKI_HEAD_BYTES);
  const name = `${ORIGIN}${logId}`;
  const typed = Buffer.concat([Buffer.of(ED25519), publicKey]);
  const keyHash = createHash("sha256").update(`${name}\n`).update(typed).digest().subarray(0, 4);
  return {
    logId,
    name,
    keyHash,
    publicKey,
    vkey: `${name}+${keyHash.toString("hex")}+${typed.toString("base64")}`,
    privateKeyPem: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
    derive: (label) => new Uint8Array(hkdfSync("sha256", seed, "", `countersign.${label}.v1`, 32)),
  };
}

function encodeLogKey(key: LogKey, seed: Uint8Array): string {
  const typed = Buffer.concat([Buffer.of(ED25519), seed]).toString("base64");
  return `PRIVATE+KEY+${key.name}+${Buffer.from(key.keyHash).toString("hex")}+${typed}\n`;
}

/**
 * Reads `log.key`; null if there is none.
 * @throws CountersignError `LOG_KEY_MISMATCH` for anything that is not a log's key, `HOME_INSECURE`.
 */
export const readLogKey = (files: Files, keysDir: string): LogKey | null =>
  readKeyFile(files, join(keysDir, LOG_KEY_FILE));

/** Reads the key of a rotation that has not ended; null if there is none. Throws as `readLogKey` does. */
export const readNextLogKey = (files: Files, keysDir: string): LogKey | null =>
  readKeyFile(files, join(keysDir, NEXT_KEY_FILE));

/** The key that the next rotation puts in force. One that an earlier attempt made and did not use is kept. */
export async function createNextLogKey(files: Files, keysDir: string, logId: LogId): Promise<LogKey> {
  if (readNextLogKey(files, keysDir) === null) {
    const seed = randomBytes(32);
    const made = encodeLogKey(logKeyFromSeed(logId, seed), seed);
    await writeKeyFile(files, keysDir, NEXT_KEY_FILE, Buffer.from(made));
  }
  // Read again: another process may have made one meanwhile, and then that is the one.
  const next = readNextLogKey(files, keysDir);
  if (next?.logId === logId) return next;
  throw new CountersignError("LOG_KEY_MISMATCH", `${NEXT_KEY_FILE} is another log's key`, {
    hint: `remove ${join(keysDir, NEXT_KEY_FILE)} and rotate again`,
  });
}

/**
 * The private half of `vkey`. Where it is still the next key, its rotation was cut short after its entry was written: it
 * takes the old one's place now. Called with the directory's lock held.
 * @throws CountersignError `LOG_KEY_MISMATCH`
 */
export async function takeLogKey(files: Files, keysDir: string, vkey: string): Promise<LogKey> {
  const key = readLogKey(files, keysDir);
  if (key?.vkey === vkey) return key;
  const next = readNextLogKey(files, keysDir);
  if (next?.vkey !== vkey) {
    throw new CountersignError(
      "LOG_KEY_MISMATCH",
      `the log names the key ${vkey}, not ${String(key?.vkey)}`,
      {
        hint: "put back the key that was in force; if the key was rotated, the log may be an older copy",
      },
    );
  }
  files.rename(join(keysDir, NEXT_KEY_FILE), join(keysDir, LOG_KEY_FILE));
  await files.flushDirectory(keysDir);
  return next;
}

function readKeyFile(files: Files, path: string): LogKey | null {
  const bytes = readWhole(files, path);
  if (bytes === null) return null;
  refuseReadableByOthers(files, path);
  const [, logId, typed] = /^PRIVATE\+KEY\+countersign\.dev\/log\/(\w+)\+[0-9a-f]{8}\+([\w+/=]+)\n$/.exec(
    bytes.toString("latin1"),
  ) ?? [undefined, "", ""];
  const seed = Buffer.from(typed as string, "base64").subarray(1);
  if (isId("log", logId as string) && seed.length === 32) {
    const key = logKeyFromSeed(logId as LogId, seed);
    if (encodeLogKey(key, seed) === bytes.toString("latin1")) return key;
  }
  throw new CountersignError("LOG_KEY_MISMATCH", `${path} is not a log key`, {
    hint: "put back the key that was made with this log",
  });
}

/**
 * Makes the keys of a new log, or finishes making them after a crash: keys that are there are kept.
 * @throws CountersignError `HOME_INSECURE`, `LOG_KEY_MISMATCH`
 */
export async function createKeys(files: Files, keysDir: string, newLogId: () => LogId): Promise<LogKey> {
  if (readWhole(files, join(keysDir, SEAL_KEY_FILE)) === null) {
    await writeKeyFile(files, keysDir, SEAL_KEY_FILE, randomBytes(32));
  }
  const existing = readLogKey(files, keysDir);
  if (existing !== null) return existing;
  const seed = randomBytes(32);
  const key = logKeyFromSeed(newLogId(), seed);
  await writeKeyFile(files, keysDir, LOG_KEY_FILE, Buffer.from(encodeLogKey(key, seed)));
  return key;
}

/** The key that wraps the keys of sealed documents. */
export function readSealKey(files: Files, keysDir: string): Buffer {
  const path = join(keysDir, SEAL_KEY_FILE);
  const bytes = readWhole(files, path);
  if (bytes?.length !== 32) {
    throw new CountersignError("LOG_KEY_MISMATCH", `${path} is ${bytes === null ? "missing" : "not a key"}`, {
      hint: "put back the key that was made with this log; without it no sealed document can be read",
    });
  }
  refuseReadableByOthers(files, path);
  return bytes;
}

/** A key file is whole or absent, whatever happens: it appears under its name only when it is on disk. */
export async function writeKeyFile(
  files: Files,
  dir: string,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const temporary = join(dir, `.${name}.${randomBytes(6).toString("hex")}`);
  try {
    await writeNewFile(files, temporary, bytes);
    // A name taken meanwhile is another process's key: that one stays.
    files.link(temporary, join(dir, name));
  } finally {
    files.unlink(temporary);
  }
  await files.flushDirectory(dir);
}
