import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { formatDuration } from "../base/duration.ts";
import { stateDirectory } from "../config/environment.ts";
import type { Checkpoint } from "../log/checkpoint.ts";
import { openWithChain } from "../log/key-chain.ts";
import { cosignatureTime, parseNote } from "../log/note.ts";
import { verifyLog } from "../log/verify.ts";
import { WITNESSED } from "../witness/note-in-home.ts";
import { fail, fine, warn, type Check, type Patient } from "./check.ts";

const OLD_MS = 7 * 86_400_000;
const CUT_OFF_NEXT = "keep a copy outside: countersign log witness PLACE (docs/operating.md, Witnesses)";

/** How old the newest checkpoint is that left this home. What is noted here is a hint and no evidence. */
export const checkWitnesses: Check = {
  name: "witnesses",
  needs: "data",
  async look(patient) {
    const facts = await patient.log();
    const keys = facts?.keys ?? null;
    if (facts === null || keys === null || facts.opened === null) return [];
    const dir = join(patient.dataDir, WITNESSED);
    const times: number[] = [];
    const notes: string[] = [];
    for (const name of await readdir(dir).catch(() => [])) {
      const note = await readFile(join(dir, name), "utf8").catch(() => "");
      const opened = openWithChain(note, keys);
      if (!opened.ok) continue;
      const size = (facts.newest?.seq ?? -1) + 1;
      if (opened.value.size > size) return [lost(opened.value, size, join(dir, name))];
      notes.push(note);
      times.push(cosignedMs(note));
    }
    if (notes.length > 0) {
      const report = await verifyLog(facts.dir, { against: notes });
      const differs = report.findings.find(({ code }) => code === "inconsistent");
      if (differs !== undefined)
        return [
          fail(`a witness saw another log: ${differs.message}`, "approve nothing; find out who replaced it"),
        ];
    }
    const own = await seenHere(patient, facts.opened.data.log);
    if (own !== null) times.push(own);
    if (times.length === 0) {
      return [warn("no checkpoint has left this home: who owns it could rewrite all of it", CUT_OFF_NEXT)];
    }
    const age = Math.max(0, patient.clock.now() - Math.max(...times));
    const says = `the newest outside checkpoint is ${formatDuration(age)} old`;
    const only = notes.length === 0 ? " (this account's own memory only)" : "";
    return age > OLD_MS || notes.length === 0
      ? [warn(`${says}${only}`, CUT_OFF_NEXT)]
      : [fine(`${says}; what came after it is vouched for by nobody else`)];
  },
};

const lost = ({ size }: Checkpoint, now: number, path: string): ReturnType<typeof fail> =>
  fail(
    `the log has ${now} entries; a witness saw ${size} (${path})`,
    "approve nothing; compare with what it keeps: countersign log verify --against PLACE",
  );

/** When the note was cosigned, as it says itself. */
function cosignedMs(note: string): number {
  const parsed = parseNote(note);
  const seconds = parsed.ok ? parsed.value.signatures.map((one) => cosignatureTime(one.signature) ?? 0) : [];
  return Math.max(0, ...seconds) * 1_000;
}

/** When this account last saw the log grow, signing on the command line; it lies outside of the home. */
const seenHere = ({ around }: Patient, log: string): Promise<number | null> =>
  stat(join(stateDirectory(around), "seen", log)).then(
    (found) => found.mtimeMs,
    () => null,
  );
