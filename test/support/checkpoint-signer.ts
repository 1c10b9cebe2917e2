import { createCheckpointSigner, openCheckpoint } from "../../src/log/checkpoint.ts";
import { parseVerifierKey } from "../../src/log/note.ts";
import type { CheckpointSigner } from "../../src/store/embedded/checkpoint-file.ts";
import type { LogKey } from "../../src/store/embedded/keys.ts";

/** The log's own notes, wired to a store's key as a home wires them. */
export function checkpointSigner(key: LogKey, isolation: "service" | "none"): CheckpointSigner {
  const { vkey, signCheckpoint } = createCheckpointSigner({
    key: key.privateKeyPem,
    logId: key.logId,
    isolation,
  });
  const verifier = parseVerifierKey(vkey);
  if (!verifier.ok || vkey !== key.vkey) throw new Error(`two verifier keys: ${vkey} and ${key.vkey}`);
  return {
    signCheckpoint,
    openCheckpoint(note) {
      const opened = openCheckpoint(note, verifier.value);
      return opened.ok ? opened.value : null;
    },
  };
}
