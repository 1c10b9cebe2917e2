import { isFault } from "../errors.ts";
import type { PendingQuestion } from "../consent/desk.ts";
import { standingInList } from "../consent/standing.ts";
import { isClosedPhase } from "../request/requests.ts";
import type { PersonId } from "../request/principal.ts";
import type { Phase, RequestSummary } from "../request/summary.ts";
import type { View } from "../preview/view.ts";
import type { ConsoleHome } from "./reader.ts";

export const LISTS = ["mine", "settle", "waiting", "decided"] as const;
export type ListName = (typeof LISTS)[number];

/** One line of the inbox. Text of agents and backends in it is raw. */
export interface Row {
  readonly id: string;
  readonly phase: Phase;
  readonly title: string;
  readonly detail: string | null;
  readonly tool: string;
  readonly effect: string | null;
  readonly environments: readonly string[];
  readonly agent: string;
  readonly principal: string;
  readonly code: string | null;
  /** Epoch milliseconds; null once nobody is asked any more. */
  readonly deadline: number | null;
  readonly have: number;
  readonly need: number;
  readonly updatedAt: number;
  readonly reasonCode: string | null;
}

/** What stands in which list, in its order; rows are made for those that are shown only. */
export interface Inbox {
  readonly lists: Readonly<Record<ListName, readonly (PendingQuestion | RequestSummary)[]>>;
  rows(list: ListName, from: number, count: number): Promise<readonly Row[]>;
}

const MANY = 100_000;
/** Views kept, so that a list is not read from disk again with each update. They never change. */
const KEPT_VIEWS = 2_000;

export type ReadInbox = (person: PersonId) => Promise<Inbox>;

/** Reads the inbox of a person. Cost follows what is open, not what ever was. */
export function createInboxReader(home: ConsoleHome): ReadInbox {
  const views = new Map<string, View>();
  const viewOf = async (pending: PendingQuestion): Promise<View | null> => {
    const kept = views.get(pending.digest);
    if (kept !== undefined) return kept;
    try {
      const { view } = await home.desk.open(pending.request);
      views.set(pending.digest, view);
      for (const oldest of views.keys()) {
        if (views.size <= KEPT_VIEWS) break;
        views.delete(oldest);
      }
      return view;
    } catch (error) {
      // Settled meanwhile, or its document is lost: the line still says what is asked, the page says why.
      if (isFault(error)) return null;
      throw error;
    }
  };

  return async (person) => {
    await home.store.catchUp();
    const pending = home.desk.pending();
    const mine: PendingQuestion[] = [];
    const waiting: (PendingQuestion | RequestSummary)[] = [];
    for (const question of pending) (isMine(question, person) ? mine : waiting).push(question);
    const settle: RequestSummary[] = [];
    const decided: RequestSummary[] = [];
    const asked = new Set(pending.map(({ request }) => request));
    for (const summary of home.requests.list(MANY, (id) => !asked.has(id))) {
      if (summary.phase === "unknown") settle.push(summary);
      else if (isClosedPhase(summary.phase)) decided.push(summary);
      else waiting.push(summary);
    }
    decided.sort((a, b) => b.updatedAt - a.updatedAt);
    const lists = { mine, settle, waiting, decided };
    return {
      lists,
      rows: (list, from, count) =>
        Promise.all(
          lists[list]
            .slice(from, from + count)
            .map(async (item) =>
              "digest" in item ? rowOfQuestion(item, await viewOf(item)) : rowOfSummary(item),
            ),
        ),
    };
  };
}

/** How many requests wait for this person, for the navigation. */
export function countMine(home: ConsoleHome, person: PersonId): number {
  return home.desk.pending().filter((question) => isMine(question, person)).length;
}

function isMine(question: PendingQuestion, person: PersonId): boolean {
  const standing = standingInList(person, question);
  return standing.kind === "approver" && standing.clauses.some(({ nth, count }) => nth <= count);
}

function rowOfQuestion(pending: PendingQuestion, view: View | null): Row {
  const { question, quorum } = pending;
  const need = quorum.clauses.reduce((sum, { clause }) => sum + clause.count, 0);
  const missing = quorum.clauses.reduce((sum, clause) => sum + clause.missing, 0);
  return {
    id: pending.request,
    phase: "held",
    title: view?.effectLine ?? pending.summary,
    detail: view === null ? null : pending.summary,
    tool: question.tool,
    effect: view?.effect ?? null,
    environments: [...new Set(question.targets.map((target) => target.environment))],
    agent: question.requester.agent,
    principal: question.requester.principal.id,
    code: pending.code,
    deadline: pending.deadline,
    have: need - missing,
    need,
    updatedAt: Date.parse(question.asked_at),
    reasonCode: null,
  };
}

const rowOfSummary = (summary: RequestSummary): Row => ({
  id: summary.id,
  phase: summary.phase,
  title: summary.summary ?? summary.tool,
  detail: null,
  tool: summary.tool,
  effect: null,
  environments: summary.environments,
  agent: summary.agent,
  principal: summary.principal,
  code: summary.code,
  deadline: null,
  have: 0,
  need: 0,
  updatedAt: summary.updatedAt,
  reasonCode: summary.reasonCode,
});
