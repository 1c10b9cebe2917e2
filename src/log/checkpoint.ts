import { generateKeyPairSync } from "node:crypto";
import { err, ok, type Result } from "../base/result.ts";
import type { Digest } from "../base/digest.ts";
import type { LogId } from "../base/id.ts";
import { createNoteSigner, openNote, parseNote, parseVerifierKey, type VerifierKey } from "./note.ts";

// C2SP checkpoints (c2sp.org/tlog-checkpoint): origin, size and root of the log, in a signed note.
//
// The specification advises against extension lines. We carry one all the same, under the log's own key: whoever holds
// a checkpoint must see whether the gateway that signed it ran with `isolation: none`, where the agent's account could
// have read the key.

export type Isolation = "service" | "none";

export interface Checkpoint {
  readonly origin: string;
  readonly size: number;
  readonly root: Digest;
  /** Null where the signer did not say. */
  readonly isolation: Isolation | null;
  /** Extension lines as they stand. */
  readonly extensions: readonly string[];
}

const ORIGIN_PREFIX = "countersign.dev/log/";

/** First line of every checkpoint of the log, and the name of its key. */
export const originOf = (logId: LogId): string => `${ORIGIN_PREFIX}${logId}`;

/** The signed text. */
export function formatCheckpoint(checkpoint: Omit<Checkpoint, "extensions">): string {
  const root = Buffer.from(checkpoint.root.slice("sha256:".length), "hex").toString("base64");
  const isolation = checkpoint.isolation === null ? "" : `isolation ${checkpoint.isolation}\n`;
  return `${checkpoint.origin}\n${checkpoint.size}\n${root}\n${isolation}`;
}

/** Parses the text of a checkpoint's note. */
export function parseCheckpointText(text: string): Result<Checkpoint, string> {
  if (!text.endsWith("\n")) return err("a checkpoint ends in a newline");
  const [origin, sizeText, rootText, ...extensions] = text.slice(0, -1).split("\n");
  if (origin === undefined || sizeText === undefined || rootText === undefined) {
    return err("a checkpoint has an origin, a size and a root");
  }
  if (origin === "" || extensions.includes("")) return err("a checkpoint holds no empty line");
  if (!/^(0|[1-9][0-9]{0,15})$/.test(sizeText) || !Number.isSafeInteger(Number(sizeText))) {
    return err("the size of a checkpoint is a decimal number without leading zeroes");
  }
  const root = Buffer.from(rootText, "base64");
  if (root.length !== 32 || root.toString("base64") !== rootText) {
    return err("the root of a checkpoint is the base64 of 32 bytes");
  }
  const said = extensions.filter((line) => line.startsWith("isolation "));
  const isolation = said[0]?.slice("isolation ".length);
  if (said.length > 1 || (isolation !== undefined && isolation !== "service" && isolation !== "none")) {
    return err("a checkpoint says isolation none or isolation service, once");
  }
  return ok({
    origin,
    size: Number(sizeText),
    root: `sha256:${root.toString("hex")}`,
    isolation: isolation ?? null,
    extensions,
  });
}

/** A checkpoint that `key` signed; an error unless origin, name and signature are that key's. */
export function openCheckpoint(note: string, key: VerifierKey): Result<Checkpoint, string> {
  const opened = openNote(note, [key]);
  if (!opened.ok) return opened;
  const checkpoint = parseCheckpointText(opened.value.text);
  if (checkpoint.ok && checkpoint.value.origin !== key.name) {
    return err(`the checkpoint is about ${checkpoint.value.origin}, its signature is by ${key.name}`);
  }
  return checkpoint;
}

/** What a checkpoint says, whoever signed it: to look at, never to rely on. */
export function readCheckpointUnverified(note: string): Result<Checkpoint, string> {
  const parsed = parseNote(note);
  return parsed.ok ? parseCheckpointText(parsed.value.text) : parsed;
}

export interface CheckpointSigner {
  /** Verifier key; it stands in entry 0. */
  readonly vkey: string;
  signCheckpoint(size: number, root: Digest): string;
  /** Size and root of a note that this key signed; null for anything else. */
  openCheckpoint(note: string): { readonly size: number; readonly root: Digest } | null;
}

/** A new private key for a log: Ed25519, PKCS#8 PEM. To be stored 0600. */
export const createLogKey = (): string =>
  generateKeyPairSync("ed25519", {
    privateKeyEncoding: { format: "pem", type: "pkcs8" },
    publicKeyEncoding: { format: "pem", type: "spki" },
  }).privateKey;

/** Signs checkpoints of one log. `key` is what `createLogKey` gave. */
export function createCheckpointSigner(parts: {
  readonly key: string;
  readonly logId: LogId;
  readonly isolation: Isolation;
}): CheckpointSigner {
  const origin = originOf(parts.logId);
  const signer = createNoteSigner({ name: origin, privateKeyPem: parts.key });
  const own = parseVerifierKey(signer.vkey);
  return {
    vkey: signer.vkey,
    openCheckpoint(note) {
      const opened = own.ok ? openCheckpoint(note, own.value) : own;
      return opened.ok ? { size: opened.value.size, root: opened.value.root } : null;
    },
    signCheckpoint: (size, root) =>
      signer.sign(formatCheckpoint({ origin, size, root, isolation: parts.isolation })),
  };
}
