import { MAX_ENTRY_BYTES, type EntryData, type EntryKind } from "./entry.ts";
import { finding, type Finding, type Place } from "./finding.ts";
import { createMarkFinder } from "./find-mark.ts";
import { createPlainLines } from "./plain-lines.ts";
import { createHeadReader, IN_NAME, type HeadReader } from "./verify-head.ts";
import { createOrderCheck, NEEDS_DATA, type Step } from "./verify-order.ts";
import { pass, placeOf, type Cursor, type Lines, type OnLines } from "./verify-segments.ts";
import { createSequence, type Sequence } from "./verify-sequence.ts";
import { createGrowingTree, type GrowingTree } from "./verify-tree.ts";

/** What one pass over the lines of a log gathers. */
export interface Reading {
  readonly onLines: OnLines;
  readonly tree: GrowingTree;
  readonly sequence: Sequence;
  readonly findings: readonly Finding[];
  found(finding: Finding): void;
  /** Findings beyond those that are listed. */
  readonly unlisted: number;
  /** Data of entry 0. */
  readonly opened: EntryData["log.opened"] | null;
  /** Replacements of the log's key, in order. */
  readonly rotations: readonly { readonly seq: number; readonly data: EntryData["log.key_rotated"] }[];
  /** The highest sequence number that was seen; -1 for none. */
  readonly highest: number;
  /** Place of the last line. */
  readonly last: Place | null;
  readonly requests: number;
  readonly decisions: number;
}

const MOST_FINDINGS = 1_000;
/** A member that stands in `request.received` only where a side of the requester is unknown (C1). */
const UNRESOLVED = Buffer.from('"unresolved":');

/** `patterns`: whether lines that are alike are looked at together; what is found is the same, only later. */
export function createReading({ patterns = true }: { readonly patterns?: boolean } = {}): Reading {
  const findings: Finding[] = [];
  const tree = createGrowingTree();
  const sequence = createSequence();
  const order = createOrderCheck({ peopleOf: () => null, rootAt: tree.rootAt });
  const head = createHeadReader();
  const adopted = new Set<string>();
  const unknownKinds = new Set<string>();
  const isMarked = createMarkFinder(UNRESOLVED);
  const plain = createPlainLines({ inName: IN_NAME, isMarked });
  const last: Cursor = { segment: "", line: 0, offset: 0 };
  const rotations: { seq: number; data: EntryData["log.key_rotated"] }[] = [];
  let opened: EntryData["log.opened"] | null = null;
  let highest = -1;
  let requests = 0;
  let decisions = 0;
  let unlisted = 0;
  /** Whether every line was the one due so far. */
  let isWhole = true;
  /** Whether the line before was one of which there was nothing to say; whether it is the pattern of those that follow. */
  let wasPlain = false;
  let isPattern = false;

  const found = (each: Finding): void => {
    if (findings.length < MOST_FINDINGS) findings.push(each);
    else unlisted += 1;
  };

  const judgeEntry = (kind: EntryKind, buffer: Buffer, start: number, end: number, at: Cursor): void => {
    const { seq } = head;
    try {
      const data =
        NEEDS_DATA.has(kind) || kind === "request.received" ? dataOf(head, kind, buffer, start, end) : null;
      if (kind === "log.opened") {
        if (seq !== 0) throw new TypeError("it stands after entry 0");
        opened = data as EntryData["log.opened"];
      }
      if (kind === "log.key_rotated") rotations.push({ seq, data: data as EntryData["log.key_rotated"] });
      if (kind === "policy.adopted") adopted.add((data as EntryData["policy.adopted"]).revision);
      const time = data === null ? Number.NaN : Date.parse(head.time());
      const step = { kind, subject: head.subject(), policy: head.policy(), at: time, data } as Step;
      for (const { code, message, rule } of order.step(step).problems) {
        found(finding(code, { seq, place: placeOf(at), message, ...(rule === undefined ? {} : { rule }) }));
      }
    } catch (error) {
      // The data is whatever the log's writer put there: a field that is missing or of another type ends up here.
      const message = `${kind}: ${error instanceof Error ? error.message : "unreadable"}`;
      const code = error instanceof SyntaxError ? "changed" : "malformed_entry";
      found(finding(code, { seq, place: placeOf(at), message }));
    }
  };

  /** True for a request that came in, and of which nothing had to be said. */
  const judge = (buffer: Buffer, start: number, end: number, at: Cursor): boolean => {
    const { seq, kind } = head;
    const isBack = head.comparedWithRemembered() < 0;
    if (isBack) {
      const message = `${head.time()}, before the entry in front of it`;
      found(finding("time_back", { seq, place: placeOf(at), message }));
    }
    head.remember();
    if (seq === 0 && kind !== "log.opened") {
      const message = `the first entry is a ${head.kindText()}, not log.opened`;
      found(finding("malformed_entry", { seq, place: placeOf(at), message }));
    }
    if (kind === null || head.version !== 1) {
      const what = `${head.kindText()} of version ${head.version}`;
      if (!unknownKinds.has(what)) {
        found(finding("unknown_kind", { seq, place: placeOf(at), message: `an entry ${what}` }));
      }
      unknownKinds.add(what);
      return false;
    }
    const policy = head.policy();
    const isKnown = policy === null || kind === "policy.adopted" || adopted.has(policy);
    if (!isKnown) {
      const message = `${policy} was not adopted before`;
      found(finding("policy_unknown", { seq, place: placeOf(at), message, rule: "P6" }));
    }
    if (kind === "request.received") {
      // Nothing may happen because of it yet: its rules begin when it is planned, and half of a log is spared.
      requests += 1;
      if (!isMarked(buffer, start, end)) return seq > 0 && !isBack && isKnown;
    }
    if (kind === "decision.recorded") decisions += 1;
    judgeEntry(kind, buffer, start, end, at);
    return false;
  };

  const look = ({ buffer, bounds }: Lines, line: number, at: Cursor): void => {
    const start = bounds[2 * line] as number;
    const end = bounds[2 * line + 1] as number;
    const isEntry = end - start <= MAX_ENTRY_BYTES && head.read(buffer, start, end);
    if (isEntry && head.seq > highest) highest = head.seq;
    isWhole = sequence.next(isEntry ? head.seq : null, at) && isWhole;
    const isPlain = isWhole && judge(buffer, start, end, at);
    // A line that stands alone among others is not worth a pattern.
    isPattern = patterns && isPlain && wasPlain && plain.offer(buffer, start, head.fields(start));
    wasPlain = isPlain;
  };
  /** Lines that follow from the one before them: how many they were. */
  const skip = (lines: Lines, line: number): number => {
    if (!isPattern) return 0;
    const { buffer, bounds } = lines;
    const count = plain.run(buffer, bounds, line, lines.lines, sequence.due);
    if (count === 0) return 0;
    sequence.pass(count);
    requests += count;
    highest = sequence.due - 1;
    // What comes after is compared with the last of them.
    const end = 2 * (line + count);
    head.read(buffer, bounds[end - 2] as number, bounds[end - 1] as number);
    head.remember();
    return count;
  };

  return {
    tree,
    sequence,
    findings,
    rotations,
    found,
    onLines(lines, at) {
      for (let line = 0; line < lines.lines;) {
        const count = skip(lines, line);
        tree.push(lines.leaves, line, Math.max(1, count));
        if (count > 0) pass(at, lines, line, count - 1);
        else look(lines, line, at);
        Object.assign(last, at);
        line += Math.max(1, count);
        pass(at, lines, line - 1, 1);
      }
    },
    get unlisted() {
      return unlisted;
    },
    get opened() {
      return opened;
    },
    get highest() {
      return highest;
    },
    get last() {
      return last.line === 0 ? null : placeOf(last);
    },
    get requests() {
      return requests;
    },
    get decisions() {
      return decisions;
    },
  };
}

/** The entry's data; a line that says one thing at its start and another to a JSON parser is not an entry. */
function dataOf(head: HeadReader, kind: EntryKind, buffer: Buffer, start: number, end: number): object {
  const entry = JSON.parse(buffer.toString("utf8", start, end)) as Record<string, unknown>;
  const { data } = entry;
  if (
    entry["seq"] !== head.seq ||
    entry["kind"] !== kind ||
    entry["subject"] !== head.subject() ||
    entry["policy"] !== head.policy() ||
    entry["time"] !== head.time()
  ) {
    throw new SyntaxError("a member stands twice");
  }
  if (typeof data !== "object" || data === null) throw new TypeError("it has no data");
  return data;
}
