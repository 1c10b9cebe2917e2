import type { Clock } from "../base/clock.ts";
import { isId, type RequestId } from "../base/id.ts";
import { CountersignError } from "../errors.ts";
import type { OperationsLog } from "../execution/execution.ts";
import { decodeEntry, peekLine, PREFIX_BYTES } from "../log/encode.ts";
import type { Entry } from "../log/entry.ts";
import type { BlobRef } from "../request/action-request.ts";
import { recordDocuments } from "../request/record-documents.ts";
import { isClosedPhase, phaseAfter } from "../request/requests.ts";
import type { StoredLine } from "../store/store.ts";
import { historyOf } from "./history.ts";
import {
  eraseAgain,
  erasedEntry,
  hasOpenLease,
  RETENTION,
  stillThere,
  type RecordsParts,
} from "./records.ts";
import type { HomeState } from "./state.ts";

// Record documents of requests that ended long enough ago (design §11, "Where bytes live").
//
// The log is walked from its oldest entry forward, by the entries that end something, and each step looks at so many
// and no more. Where the walk stands is in its own entries (`through`), so the fold and its snapshot know it, and a
// restart goes on from there. A request that is open has no such entry yet; one with an open lease is met again at the
// lease's end.

/** Entries and requests of one step: a tick of the steward stays short however much is due. */
const LINES_AT_ONCE = 5_000;
const REQUESTS_AT_ONCE = 32;
/** Where nothing was due. Documents that live for days may live for a minute more. */
const REST_MS = 60_000;

export interface RetentionParts extends RecordsParts {
  readonly clock: Clock;
  readonly state: Pick<HomeState, "requests" | "executions" | "erasures">;
  /** Null: for ever. */
  readonly recordsMs: number | null;
  readonly log: OperationsLog;
  clockIsBehind(): boolean;
}

export interface Retention {
  /** Erases some of what is due, and finishes what a dead process began. Only the steward calls it. */
  step(): Promise<void>;
}

interface Due {
  readonly request: RequestId;
  readonly documents: readonly BlobRef[];
  /** The entry that ended it. */
  readonly seq: number;
}

export function createRetention(parts: RetentionParts): Retention {
  const { store, state } = parts;
  const { erasures } = state;
  /** Entries whose documents this process knows to be gone. */
  const done = new Set<number>();
  let walked = -1;
  let restUntil = Number.NEGATIVE_INFINITY;

  const finish = async (): Promise<void> => {
    for (const [request, seq] of [...erasures.newest]) {
      if (done.has(seq)) continue;
      await eraseAgain(store, request);
      done.add(seq);
    }
    const newest = new Set(erasures.newest.values());
    for (const seq of done) if (!newest.has(seq)) done.delete(seq);
  };

  /** The next requests whose documents are due, and how far the log was looked at for them. */
  const look = async (
    before: number,
  ): Promise<{ readonly due: readonly Due[]; readonly isDone: boolean }> => {
    const due = new Map<RequestId, Due>();
    let lines = 0;
    for await (const line of store.lines(walked + 1)) {
      if (timeOf(line) > before) return { due: [...due.values()], isDone: true };
      if (lines === LINES_AT_ONCE || due.size === REQUESTS_AT_ONCE) {
        return { due: [...due.values()], isDone: false };
      }
      lines += 1;
      walked = line.seq;
      const entry = endIn(line);
      const request = entry === null ? null : requestOf(entry);
      if (entry === null || request === null) continue;
      if (state.requests.open.has(request) || hasOpenLease(state, request)) continue;
      const entries = [...(await historyOf(store, request)), entry];
      const documents = await stillThere(store, recordDocuments(entries));
      if (documents.length > 0) due.set(request, { request, documents: unique(documents), seq: line.seq });
    }
    return { due: [...due.values()], isDone: true };
  };

  const eraseDue = async (recordsMs: number): Promise<void> => {
    walked = Math.max(walked, erasures.through);
    const from = walked;
    try {
      const { due, isDone } = await look(parts.clock.now() - recordsMs);
      if (due.length > 0) await erase(due);
      restUntil = isDone ? parts.clock.monotonic() + REST_MS : Number.NEGATIVE_INFINITY;
    } catch (error) {
      // What was found and not written has to be found again.
      walked = from;
      throw error;
    }
  };

  const erase = async (due: readonly Due[]): Promise<void> => {
    const appended = await store.append({
      expect: [],
      newKeys: [],
      entries: due.map(({ request, documents, seq }) =>
        erasedEntry(request, documents, { why: RETENTION, through: seq }),
      ),
    });
    if (!appended.ok) throw new Error("a batch without expectations conflicted");
    // A crash here leaves documents that the log calls erased; `finish` of the next steward erases them.
    await store.blobs.eraseRecords(due.flatMap(({ documents }) => documents));
    for (const { seq } of appended.entries) done.add(seq);
    parts.log.info({ requests: due.length, through: walked }, "old records erased");
  };

  return {
    async step() {
      await finish();
      if (parts.recordsMs === null || parts.clockIsBehind()) return;
      if (parts.clock.monotonic() >= restUntil) await eraseDue(parts.recordsMs);
    },
  };
}

const timeOf = ({ seq, bytes }: StoredLine): number => {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, PREFIX_BYTES));
  const peek = peekLine(head.toString("latin1"));
  if (peek === null) throw new CountersignError("LOG_CORRUPT", `entry ${seq} does not start as an entry`);
  return peek.time;
};

const ENDS =
  /"kind":"(?:request\.(?:refused|withdrawn|expired|stale)|consent\.settled|execution\.(?:settled|resolved|late)|lease\.ended)"/;

/** The entry, where it ends a request or what it granted, or adds a document after the end. */
function endIn({ seq, bytes }: StoredLine): Entry | null {
  const line = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!ENDS.test(line.toString("latin1", 0, PREFIX_BYTES * 2))) return null;
  const decoded = decodeEntry(line.toString("utf8"), seq);
  if (!decoded.ok) throw new CountersignError("LOG_CORRUPT", `entry ${seq}: ${decoded.error}`);
  const entry = decoded.value;
  if (entry.kind === "lease.ended" || entry.kind === "execution.late") return entry;
  return isClosedPhase(phaseAfter("received", entry)) ? entry : null;
}

function requestOf(entry: Entry): RequestId | null {
  const id = entry.kind === "lease.ended" ? (entry.data.request ?? "") : entry.subject;
  return isId("req", id) ? id : null;
}

/** The ending entry is part of the history too, but where it came after the end. */
const unique = (documents: readonly BlobRef[]): readonly BlobRef[] => [
  ...new Map(documents.map((ref) => [ref.digest, ref])).values(),
];
