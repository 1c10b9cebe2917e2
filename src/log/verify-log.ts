import type { Digest } from "../base/digest.ts";
import { openCheckpoint, originOf, type Checkpoint } from "./checkpoint.ts";
import type { EntryData, EntryKind } from "./entry.ts";
import { ENTRY_KINDS } from "./entry.ts";
import { finding, type Finding, type Place } from "./finding.ts";
import { fromHex, leafHashInPlace, type TreeHash } from "./merkle.ts";
import { parseVerifierKey, type VerifierKey } from "./note.ts";
import { isMoment, readHead, type LineHead } from "./verify-head.ts";
import { locateChanges } from "./verify-locate.ts";
import { createOrderCheck, NEEDS_DATA, type Step } from "./verify-order.ts";
import { readCheckpointFile, readLines, readSegments, segmentNames, type OnLine } from "./verify-segments.ts";
import { createSequence } from "./verify-sequence.ts";
import { createGrowingTree } from "./verify-tree.ts";

// Verifies a whole log: bytes, order, root, signature, decisions, and the order of every request's entries.
//
// One pass, no copy of a line, JSON parsed only where an entry's kind needs it. Once a line is not the one due, the
// rules of requests are no longer judged: what is missing would look like a broken rule.

export interface VerifyLogOptions {
  /** Verifier key that is trusted. Absent: the one in entry 0, and the report says that the log vouches for itself. */
  readonly key?: string;
  /** Signed note; absent: the file `checkpoint` beside the segments. */
  readonly checkpoint?: string;
  /** Checkpoints that were kept elsewhere: the log has to extend each. */
  readonly against?: readonly string[];
  /** Bytes read so far. */
  readonly onProgress?: (bytes: number) => void;
}

/** A directory of segments, or the lines of a store from entry 0 on. */
export type LogSource = string | AsyncIterable<{ readonly bytes: Uint8Array }>;

export interface LogReport {
  /** True where nothing was found but notices. */
  readonly ok: boolean;
  readonly logId: string | null;
  /** The key that the checkpoint was checked with. */
  readonly key: string | null;
  /** Verified; null where there is none. */
  readonly checkpoint: Checkpoint | null;
  readonly entries: number;
  readonly bytes: number;
  /** Entries after the checkpoint. */
  readonly uncovered: number;
  readonly requests: number;
  readonly decisions: number;
  readonly findings: readonly Finding[];
  /** Findings beyond the first thousand. */
  readonly unlisted: number;
}

const MOST_FINDINGS = 1_000;
const KNOWN: ReadonlySet<string> = new Set(ENTRY_KINDS);

export async function verifyLog(source: LogSource, options: VerifyLogOptions = {}): Promise<LogReport> {
  const reading = createReading();
  const onChunk = options.onProgress ?? (() => undefined);
  const names = typeof source === "string" ? await segmentNames(source) : [];
  const read =
    typeof source === "string"
      ? await readSegments(source, names, reading.onLine, onChunk)
      : await readLines(source, reading.onLine, onChunk);
  const { found, tree, sequence } = reading;
  if (read.torn !== null) {
    const message = `${read.torn.bytes} bytes after the last newline: a write that never ended`;
    found(finding("torn", { place: read.torn.place, message }));
  }
  for (const each of sequence.finish()) found(each);
  reading.closeOrder();

  const key = trustedKey(reading.opened, options.key, found);
  const note = options.checkpoint ?? (typeof source === "string" ? await readCheckpointFile(source) : null);
  const checkpoint = checkCheckpoint(note, key, reading, found);
  if (checkpoint !== null && checkpoint.size <= tree.size && typeof source === "string" && !sequence.broken) {
    const root = rootHash(checkpoint.root);
    if (tree.rootAt(checkpoint.size) !== root) {
      const signed = { size: checkpoint.size, root };
      for (const each of await locateChanges({ directory: source, names, tree, signed })) found(each);
    }
  }
  for (const earlier of options.against ?? []) checkAgainst(earlier, key, reading, found);

  return {
    ok: reading.findings.every(({ severity }) => severity === "notice"),
    logId: reading.opened?.log ?? null,
    key: key?.text ?? null,
    checkpoint,
    entries: tree.size,
    bytes: read.bytes,
    uncovered: Math.max(0, tree.size - (checkpoint?.size ?? 0)),
    requests: reading.requests(),
    decisions: reading.decisions(),
    findings: reading.findings,
    unlisted: reading.unlisted(),
  };
}

type Found = (finding: Finding) => void;

/** What one pass over the lines gathers. */
function createReading() {
  const findings: Finding[] = [];
  const tree = createGrowingTree();
  const sequence = createSequence();
  const order = createOrderCheck({ peopleOf: () => null, rootAt: tree.rootAt });
  const adopted = new Set<string>();
  const unknownKinds = new Set<string>();
  let opened: EntryData["log.opened"] | null = null;
  let time = "";
  let highest = -1;
  let last: Place | null = null;
  let brokenAt: number | null = null;
  let requests = 0;
  let decisions = 0;
  let unlisted = 0;

  const found: Found = (each) => {
    if (findings.length < MOST_FINDINGS) findings.push(each);
    else unlisted += 1;
  };

  const judge = (head: LineHead, buffer: Buffer, start: number, end: number, place: Place): void => {
    const { seq, kind, subject, policy } = head;
    const about = { seq, place };
    if (head.time !== time && !isMoment(head.time)) {
      found(finding("changed", { ...about, message: `${head.time} is no moment` }));
    }
    if (head.time < time) found(finding("time_back", { ...about, message: `${head.time} after ${time}` }));
    time = head.time;
    if (seq === 0 && kind !== "log.opened") {
      found(
        finding("malformed_entry", { ...about, message: `the first entry is a ${kind}, not log.opened` }),
      );
    }
    if (head.version !== 1 || !KNOWN.has(kind)) {
      const what = `${kind} of version ${head.version}`;
      if (!unknownKinds.has(what)) found(finding("unknown_kind", { ...about, message: `an entry ${what}` }));
      unknownKinds.add(what);
      return;
    }
    if (policy !== null && !adopted.has(policy) && kind !== "policy.adopted") {
      found(finding("policy_unknown", { ...about, message: `${policy} was not adopted before`, rule: "P6" }));
    }
    if (kind === "request.received") requests += 1;
    if (kind === "decision.recorded") decisions += 1;
    try {
      const data = NEEDS_DATA.has(kind) ? dataOf(buffer, start, end) : null;
      if (kind === "log.opened") {
        if (seq !== 0) found(finding("malformed_entry", { ...about, message: "log.opened after entry 0" }));
        else opened = data as EntryData["log.opened"];
      }
      if (kind === "policy.adopted") adopted.add((data as EntryData["policy.adopted"]).revision);
      const step = { kind: kind as EntryKind, subject, policy, at: Date.parse(head.time), data } as Step;
      for (const { code, message, rule } of order.step(step).problems) {
        found(finding(code, { ...about, message, ...(rule === undefined ? {} : { rule }) }));
      }
    } catch (error) {
      // The data is whatever the log's writer put there: a field that is missing or of another type ends up here.
      const message = `${kind}: ${error instanceof Error ? error.message : "unreadable"}`;
      const code = error instanceof SyntaxError ? "changed" : "malformed_entry";
      found(finding(code, { ...about, message }));
    }
  };

  const onLine: OnLine = (buffer, start, end, place) => {
    const head = readHead(buffer, start, end);
    buffer[start - 1] = 0;
    tree.push(leafHashInPlace(buffer.subarray(start - 1, end)));
    last = place;
    if (head !== null && head.seq > highest) highest = head.seq;
    const due = sequence.next(head?.seq ?? null, place);
    if (sequence.broken) brokenAt ??= tree.size - 1;
    else if (due && head !== null) judge(head, buffer, start, end, place);
  };

  return {
    findings,
    tree,
    sequence,
    found,
    onLine,
    get opened(): EntryData["log.opened"] | null {
      return opened;
    },
    get highest() {
      return highest;
    },
    get last() {
      return last;
    },
    requests: () => requests,
    decisions: () => decisions,
    unlisted: () => unlisted,
    closeOrder(): void {
      if (brokenAt === null || findings.length === 0) return;
      const first = findings.findIndex(({ code }) => DAMAGE.has(code));
      const damage = findings[first];
      if (damage === undefined) return;
      const note = `${damage.message}; the rules of requests were judged up to here`;
      findings[first] = { ...damage, message: note };
    },
  };
}

const DAMAGE = new Set(["changed", "dropped", "repeated", "reordered", "inserted"]);

type Reading = ReturnType<typeof createReading>;

const dataOf = (buffer: Buffer, start: number, end: number): unknown => {
  const { data } = JSON.parse(buffer.toString("utf8", start, end)) as { data: unknown };
  if (typeof data !== "object" || data === null) throw new TypeError("no data");
  return data;
};

const rootHash = (root: Digest): TreeHash => fromHex(root.slice("sha256:".length)) as TreeHash;

/** The key to check with: the pinned one, else the log's own. */
function trustedKey(
  opened: EntryData["log.opened"] | null,
  pinned: string | undefined,
  found: Found,
): VerifierKey | null {
  const own = opened === null ? null : parseVerifierKey(String(opened.key));
  if (opened !== null && own !== null && (!own.ok || own.value.name !== originOf(opened.log))) {
    const message = own.ok
      ? `the key of entry 0 is called ${own.value.name}`
      : `the key of entry 0: ${own.error}`;
    found(finding("key_mismatch", { seq: 0, message }));
  }
  if (pinned === undefined) {
    found(finding("untrusted"));
    return own?.ok === true ? own.value : null;
  }
  const trusted = parseVerifierKey(pinned);
  if (!trusted.ok) {
    found(finding("key_mismatch", { message: `the trusted key: ${trusted.error}` }));
    return null;
  }
  if (opened !== null && opened.key !== pinned) {
    found(finding("key_mismatch", { seq: 0, message: `entry 0 names the key ${String(opened.key)}` }));
  }
  return trusted.value;
}

function checkCheckpoint(
  note: string | null,
  key: VerifierKey | null,
  reading: Reading,
  found: Found,
): Checkpoint | null {
  const { tree, sequence, highest, last } = reading;
  if (note === null) {
    found(finding("no_checkpoint"));
    return null;
  }
  const opened = key === null ? null : openCheckpoint(note, key);
  if (opened === null || !opened.ok) {
    found(
      finding("checkpoint_invalid", { message: opened === null ? "no key to check it with" : opened.error }),
    );
    return null;
  }
  const checkpoint = opened.value;
  if (checkpoint.isolation === "none") found(finding("isolation_none"));
  if (highest + 1 < checkpoint.size) {
    const missing = `entries ${highest + 1} to ${checkpoint.size - 1}`;
    const message = `the log ends after entry ${highest}; ${missing} were signed`;
    found(finding("truncated", { seq: highest + 1, place: last, message }));
  } else if (tree.rootAt(checkpoint.size) !== rootHash(checkpoint.root)) {
    const message = `the first ${checkpoint.size} entries do not have the root that was signed`;
    found(finding("root_mismatch", { message }));
  }
  if (!sequence.broken && tree.size > checkpoint.size) {
    const message = `${tree.size - checkpoint.size} entries after the checkpoint of ${checkpoint.size}`;
    found(finding("uncovered", { seq: checkpoint.size, message }));
  }
  return checkpoint;
}

function checkAgainst(note: string, key: VerifierKey | null, { tree, highest }: Reading, found: Found): void {
  const opened = key === null ? null : openCheckpoint(note, key);
  if (opened === null || !opened.ok) {
    const message = `an earlier checkpoint: ${opened === null ? "no key to check it with" : opened.error}`;
    found(finding("checkpoint_invalid", { message }));
    return;
  }
  const { size, root } = opened.value;
  if (size > highest + 1) {
    found(
      finding("inconsistent", { message: `${size} entries were signed earlier, ${highest + 1} are here` }),
    );
  } else if (tree.rootAt(size) !== rootHash(root)) {
    found(finding("inconsistent", { message: `the first ${size} entries are not those signed earlier` }));
  }
}
