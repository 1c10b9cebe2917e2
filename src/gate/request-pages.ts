import type { RequestId } from "../base/id.ts";
import { isId } from "../base/id.ts";
import { CountersignError } from "../errors.ts";
import { linesBackwards } from "../log/backwards.ts";
import { decodeEntry } from "../log/encode.ts";
import { summaryOf, type RequestsState } from "../request/requests.ts";
import type { RequestSummary } from "../request/summary.ts";
import type { Store } from "../store/store.ts";
import type { RequestPage, RequestReader } from "./home.ts";

// Pages of requests. The newest pages come from memory: everything open, and the newest thousand that ended. What is
// older is found by reading the log backwards, a bounded piece a call; the cursor says where the next call goes on.

/** Entries of the log that one call looks at. */
const MOST_ENTRIES = 20_000;

export function createRequestPages(parts: {
  readonly requests: RequestsState;
  readonly store: Pick<Store, "lines">;
  /** A request that ended long ago, folded from its own entries. */
  fromLog(id: RequestId): Promise<RequestSummary | null>;
}): RequestReader["page"] {
  const { requests } = parts;

  /** Entries from here on are of requests that memory holds. */
  const oldestInMemory = (): number => {
    let oldest = Number.MAX_SAFE_INTEGER;
    for (const summary of requests.recent.values()) oldest = Math.min(oldest, summary.newestSeq);
    return oldest;
  };
  const isKnown = (id: RequestId): boolean => requests.open.has(id) || requests.recent.has(id);

  const older = async (
    before: number,
    found: RequestSummary[],
    limit: number,
    fits: (summary: RequestSummary) => boolean,
  ): Promise<RequestPage> => {
    let looked = before;
    for await (const { seq, bytes } of linesBackwards(parts.store, before, MOST_ENTRIES)) {
      looked = seq;
      const id = beginsIn(bytes, seq);
      if (id === null || isKnown(id)) continue;
      const summary = await parts.fromLog(id);
      if (summary !== null && fits(summary)) found.push(summary);
      if (found.length >= limit) break;
    }
    const isEnd = looked <= 0;
    return {
      requests: found,
      next: isEnd ? null : `seq_${looked}`,
      truncated: !isEnd && found.length < limit,
    };
  };

  return async ({ limit, cursor, fits, openOnly }) => {
    const from = parseCursor(cursor);
    if (from.kind === "log") return older(from.before, [], limit, fits);
    const found: RequestSummary[] = [];
    for (const id of newestFirst(requests)) {
      if (from.before !== null && id >= from.before) continue;
      const record = requests.open.get(id);
      const closed = openOnly ? undefined : requests.recent.get(id);
      const summary = record === undefined ? closed : summaryOf(record);
      if (summary === undefined || !fits(summary)) continue;
      const last = found.at(-1);
      if (found.length === limit && last !== undefined) {
        return { requests: found, next: last.id, truncated: false };
      }
      found.push(summary);
    }
    const oldest = openOnly ? 0 : oldestInMemory();
    if (oldest === Number.MAX_SAFE_INTEGER || oldest <= 0)
      return { requests: found, next: null, truncated: false };
    if (found.length === limit) return { requests: found, next: `seq_${oldest}`, truncated: false };
    return older(oldest, found, limit, fits);
  };
}

/** Ids of the requests that memory holds: everything open, and the newest that ended. */
export const newestFirst = ({ open, recent }: Pick<RequestsState, "open" | "recent">): RequestId[] =>
  [...open.keys(), ...recent.keys()].sort((a, b) => (a < b ? 1 : -1));

type From =
  | { readonly kind: "memory"; readonly before: RequestId | null }
  | { readonly kind: "log"; readonly before: number };

function parseCursor(cursor: string | null): From {
  if (cursor === null) return { kind: "memory", before: null };
  if (isId("req", cursor)) return { kind: "memory", before: cursor };
  const seq = /^seq_(\d{1,15})$/.exec(cursor)?.[1];
  if (seq !== undefined) return { kind: "log", before: Number(seq) };
  throw new CountersignError("CURSOR_INVALID", "the cursor is none that this gateway gave", {
    hint: "begin again without a cursor",
  });
}

const RECEIVED = Buffer.from('"kind":"request.received"');
const REFUSED = Buffer.from('"kind":"request.refused"');

/** The request whose first entry this line is; null for any other line. */
function beginsIn(bytes: Uint8Array, seq: number): RequestId | null {
  const line = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!line.includes(RECEIVED) && !line.includes(REFUSED)) return null;
  const decoded = decodeEntry(line.toString("utf8"), seq);
  if (!decoded.ok) throw new CountersignError("LOG_CORRUPT", `entry ${seq}: ${decoded.error}`);
  const entry = decoded.value;
  const isFirst =
    entry.kind === "request.received" || (entry.kind === "request.refused" && entry.data.attempt !== null);
  return isFirst && isId("req", entry.subject) ? entry.subject : null;
}
