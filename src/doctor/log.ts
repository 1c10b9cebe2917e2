import { open } from "node:fs/promises";
import { join } from "node:path";
import { parseTimestamp } from "../base/clock.ts";
import { formatDuration } from "../base/duration.ts";
import { neutralLine } from "../base/text.ts";
import { decodeEntry } from "../log/encode.ts";
import { segmentNames } from "../log/verify-segments.ts";
import { verifyLog } from "../log/verify.ts";
import { fail, fine, warn, type Check, type Finding, type Patient } from "./check.ts";
import type { LogFacts } from "./log-facts.ts";

/** Up to here everything is verified; above it, only the end: `log verify` reads all of it. */
const WHOLE_BYTES = 64 * 1024 * 1024;
const TAIL_BYTES = 4 * 1024 * 1024;
const CLOCK_SLACK_MS = 5_000;

/** What stands in the log is what was signed: all of a small one, the end of a large one. */
export const checkLog: Check = {
  name: "log",
  needs: "data",
  async look(patient) {
    const facts = await patient.log();
    if (facts === null) {
      return [fail("there is no log", "if init did not finish, run it again: countersign init")];
    }
    return facts.bytes <= WHOLE_BYTES ? whole(facts) : tail(facts);
  },
};

async function whole(facts: LogFacts): Promise<readonly Finding[]> {
  const report = await verifyLog(facts.dir);
  const faults = report.findings.filter(({ severity }) => severity === "fault");
  const torn = report.findings.some(({ code }) => code === "torn");
  if (faults.length > 0) {
    const first = faults[0] as (typeof faults)[number];
    const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : "";
    return [
      fail(
        `${first.code}: ${first.message}${more}`,
        "keep the home as it is, and see: countersign log verify",
      ),
    ];
  }
  const says = fine(`${report.entries} entries, all verified`);
  return torn
    ? [says, warn("a write at its end never ended", "nothing to do: the next start cuts it off")]
    : [says];
}

/** The last lines follow one another, and the signed size is not beyond them. */
async function tail(facts: LogFacts): Promise<readonly Finding[]> {
  const name = (await segmentNames(facts.dir)).at(-1) as string;
  const file = await open(join(facts.dir, name), "r");
  let text: Buffer;
  try {
    const { size } = await file.stat();
    const length = Math.min(size, TAIL_BYTES);
    text = Buffer.alloc(length);
    await file.read(text, 0, length, size - length);
  } finally {
    await file.close();
  }
  const lines = text.toString("utf8").split("\n").slice(1, -1);
  let due = (facts.newest?.seq ?? -1) - lines.length + 1;
  for (const line of lines) {
    const decoded = decodeEntry(line, due);
    if (!decoded.ok) {
      return [
        fail(`entry ${due}: ${decoded.error}`, "keep the home as it is, and see: countersign log verify"),
      ];
    }
    due += 1;
  }
  if (facts.checkpoint !== null && facts.checkpoint.size > due) {
    return [
      fail(
        `the log has ${due} entries; ${facts.checkpoint.size} were signed`,
        "restore a copy that is at least as long; see: countersign log verify",
      ),
    ];
  }
  return [fine(`${due} entries; the last ${lines.length} read again. All of it: countersign log verify`)];
}

/** The newest signed checkpoint. A missing or foreign one keeps the home from opening. */
export const checkCheckpoint: Check = {
  name: "checkpoint",
  needs: "data",
  async look({ log }) {
    const facts = await log();
    if (facts === null) return [];
    if (facts.checkpoint !== null) return [fine(`${facts.checkpoint.size} entries are signed`)];
    if (facts.checkpointNote === null) {
      return [
        warn(
          "no checkpoint was signed yet, or it was emptied",
          "the next start signs one; see also witnesses",
        ),
      ];
    }
    return [
      fail(
        "log/checkpoint is signed by none of this log's keys",
        "see what it holds: countersign log verify; restore it with the log from one backup",
      ),
    ];
  },
};

/** The clock against the newest entry (design: Clock). */
export const checkClock: Check = {
  name: "clock",
  needs: "data",
  async look(patient: Patient) {
    const facts = await patient.log();
    const newest = facts?.newest ?? null;
    if (newest === null) return [];
    const ahead = parseTimestamp(newest.time) - patient.clock.now();
    if (ahead <= CLOCK_SLACK_MS) return [fine("not behind the newest entry")];
    const says = `the clock is ${formatDuration(ahead)} behind the newest entry (${neutralLine(newest.time)})`;
    return [
      fail(
        `${says}: nothing is granted or claimed until it has caught up; denies still count`,
        "if the clock is wrong, set it (run a time service); if it was wrong when that entry was written, wait, or start a new home with countersign init and keep this one as evidence",
      ),
    ];
  },
};
