import type { Entry, EntryKind } from "../log/entry.ts";
import type { Store } from "../store/store.ts";
import { sayingOf } from "./saying.ts";

// Reads the log backwards for a page: from the newest entry, or from where the last page ended, in windows, until enough
// fits or a limit of entries was looked at. What a page costs never follows how long the log is.

export interface LogQuery {
  /** Entries below this number; null: from the newest. */
  readonly before: number | null;
  readonly group: LogGroup | null;
  readonly subject: string | null;
  /** Looked for in the entry's text, without regard to case. */
  readonly words: string | null;
}

export const LOG_GROUPS = {
  requests: ["request."],
  decisions: ["consent.", "decision.", "inquiry."],
  runs: ["grant.", "execution.", "lease."],
  policy: ["policy."],
  passkeys: ["credential."],
  gateway: ["log.", "blob.", "throttled", "ask."],
} as const satisfies Record<string, readonly string[]>;
export type LogGroup = keyof typeof LOG_GROUPS;

export interface LogPage {
  /** Newest first. */
  readonly entries: readonly Entry[];
  /** Where the next page begins; null at the beginning of the log. */
  readonly next: number | null;
  /** How many entries were looked at. */
  readonly looked: number;
}

const PAGE = 50;
const WINDOW = 500;
const MOST_LOOKED = 5_000;

export async function readLog(store: Pick<Store, "lines" | "head">, query: LogQuery): Promise<LogPage> {
  const { size } = store.head();
  const top = Math.min(query.before ?? size, size);
  const found: Entry[] = [];
  let at = top;
  while (at > 0 && found.length < PAGE && top - at < MOST_LOOKED) {
    const from = Math.max(0, at - WINDOW);
    const window: Entry[] = [];
    for await (const line of store.lines(from)) {
      if (line.seq >= at) break;
      const text = new TextDecoder().decode(line.bytes);
      // Before parsing: most lines of a long log fit no search.
      if (query.subject !== null && !text.includes(query.subject)) continue;
      const entry = JSON.parse(text) as Entry;
      if (fits(entry, text, query)) window.push(entry);
    }
    for (const entry of window.reverse()) {
      if (found.length === PAGE) break;
      found.push(entry);
    }
    at = found.length === PAGE ? (found.at(-1)?.seq ?? from) : from;
  }
  return { entries: found, next: at > 0 ? at : null, looked: top - at };
}

/** One entry and the bytes that were hashed; null beyond the log's end. */
export async function readEntry(
  store: Pick<Store, "lines" | "head">,
  seq: number,
): Promise<{ readonly entry: Entry; readonly text: string } | null> {
  if (seq >= store.head().size) return null;
  for await (const line of store.lines(seq)) {
    const text = new TextDecoder().decode(line.bytes);
    return { entry: JSON.parse(text) as Entry, text };
  }
  return null;
}

function fits(entry: Entry, text: string, { group, subject, words }: LogQuery): boolean {
  if (group !== null && !isOf(entry.kind, group)) return false;
  if (subject !== null && entry.subject !== subject) return false;
  if (words === null) return true;
  const { title } = sayingOf(entry);
  return `${title}\n${text}`.toLowerCase().includes(words.toLowerCase());
}

const isOf = (kind: EntryKind, group: LogGroup): boolean =>
  LOG_GROUPS[group].some((prefix) => kind.startsWith(prefix));
