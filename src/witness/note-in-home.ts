import { join } from "node:path";
import type { VerifierKey } from "../log/note.ts";
import { replaceFile } from "./private-file.ts";

/** Where a home notes which checkpoints left it. */
export const WITNESSED = "witnessed";

/**
 * Leaves the cosigned checkpoint in the home, so that `countersign doctor` can say how old the newest outside copy is and a
 * log that lost entries since does not open. It proves nothing to anyone else: who rewrites the home removes it.
 */
export const noteInHome = (dataDir: string, witness: VerifierKey, note: string): Promise<void> =>
  replaceFile(join(dataDir, WITNESSED, `${witness.id}.checkpoint`), note);
