import { err, ok, type Result } from "../base/result.ts";
import { openCheckpoint, readCheckpointUnverified, type Checkpoint } from "./checkpoint.ts";
import { fromHex, leafHash, toBytes, type TreeHash } from "./merkle.ts";
import { verifyInclusion } from "./merkle-proof.ts";
import type { VerifierKey } from "./note.ts";

// C2SP tlog-proof (c2sp.org/tlog-proof): one text file that proves one line of the log offline.

const HEADER = "c2sp.org/tlog-proof@v1";

export interface TlogProof {
  readonly index: number;
  /** Audit path, leaf's sibling first. */
  readonly proof: readonly TreeHash[];
  /** The signed note, verbatim. */
  readonly checkpoint: string;
  /** Not authenticated. */
  readonly extra?: Uint8Array;
}

export function formatTlogProof({ index, proof, checkpoint, extra }: TlogProof): string {
  const lines = [HEADER];
  if (extra !== undefined) lines.push(`extra ${Buffer.from(extra).toString("base64")}`);
  lines.push(`index ${index}`, ...proof.map((hash) => toBytes(hash).toString("base64")));
  return `${lines.join("\n")}\n\n${checkpoint}`;
}

/** Parses a proof and refuses anything that `formatTlogProof` would not have written. */
export function parseTlogProof(text: string): Result<TlogProof, string> {
  const split = text.indexOf("\n\n");
  if (split < 0) return err("a proof has an empty line before its checkpoint");
  const [header, ...lines] = text.slice(0, split).split("\n");
  if (header !== HEADER) return err(`a proof starts with ${HEADER}`);
  let extra: Uint8Array | undefined;
  if (lines[0]?.startsWith("extra ") === true) {
    extra = Buffer.from((lines.shift() as string).slice("extra ".length), "base64");
  }
  const [, indexText] = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? "") ?? [];
  const index = Number(indexText);
  if (indexText === undefined || !Number.isSafeInteger(index))
    return err("a proof names the index of its entry");
  const proof: TreeHash[] = [];
  for (const line of lines) {
    const hash = fromHex(Buffer.from(line, "base64").toString("hex"));
    if (hash === undefined) return err("a line of the proof is not the base64 of 32 bytes");
    proof.push(hash);
  }
  const checkpoint = text.slice(split + 2);
  const readable = readCheckpointUnverified(checkpoint);
  if (!readable.ok) return readable;
  const parsed = { index, proof, checkpoint, ...(extra === undefined ? {} : { extra }) };
  return formatTlogProof(parsed) === text ? ok(parsed) : err("the proof is not in its canonical form");
}

/** Whether the proof shows that `key`'s log holds `line`; the checkpoint it stands under. */
export function verifyTlogProof(
  text: string,
  line: Uint8Array,
  key: VerifierKey,
): Result<Checkpoint, string> {
  const parsed = parseTlogProof(text);
  if (!parsed.ok) return parsed;
  const checkpoint = openCheckpoint(parsed.value.checkpoint, key);
  if (!checkpoint.ok) return checkpoint;
  const { size, root } = checkpoint.value;
  const rootHash = fromHex(root.slice("sha256:".length)) as TreeHash;
  const { index, proof } = parsed.value;
  return verifyInclusion(index, size, leafHash(line), proof, rootHash)
    ? checkpoint
    : err(`the line is not entry ${index} of that log`);
}
