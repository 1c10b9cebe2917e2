import { parseTimestamp } from "../base/clock.ts";
import { isId, type RequestId } from "../base/id.ts";
import { CountersignError } from "../errors.ts";
import { isClosedPhase, requestsReducer, summaryOf } from "../request/requests.ts";
import type { RequestSummary } from "../request/summary.ts";
import type { Store } from "../store/store.ts";
import { historyOf } from "./history.ts";
import type { RequestReader } from "./home.ts";
import { createRequestPages, newestFirst } from "./request-pages.ts";
import type { HomeState } from "./state.ts";

/** Requests as listings and `show` need them: from memory where they are fresh, from the log where they are old. */
export function createRequestReader(parts: {
  readonly state: HomeState;
  readonly store: Store;
}): RequestReader {
  const { requests } = parts.state;

  /** Unpacking thousands to show fifty would keep others waiting: only those that are shown become summaries. */
  const peek = (id: RequestId): RequestSummary | null => {
    const record = requests.open.get(id);
    return record === undefined ? (requests.recent.get(id) ?? null) : summaryOf(record);
  };

  /** Folds an old request's own entries with the ordinary reducer. */
  const fromLog = async (id: RequestId): Promise<RequestSummary | null> => {
    const entries = await historyOf(parts.store, id);
    const state = requestsReducer.init();
    for (const entry of entries) requestsReducer.apply(state, entry, parseTimestamp(entry.time));
    const open = state.open.get(id);
    return open === undefined ? (state.recent.get(id) ?? null) : summaryOf(open);
  };

  return {
    peek,

    page: createRequestPages({ requests, store: parts.store, fromLog }),

    list: (limit, fits = () => true) =>
      newestFirst(requests)
        .filter(fits)
        .slice(0, limit)
        .flatMap((id) => peek(id) ?? []),

    async find(reference) {
      const code = reference.toUpperCase();
      const fits = [...requests.open.values(), ...requests.recent.values()]
        .filter((one) => one.id === reference || one.code === code || isPrefix(reference, one.id))
        .flatMap(({ id }) => peek(id) ?? []);
      const exact = fits.find((summary) => summary.id === reference);
      if (exact !== undefined) return exact;
      const [first, ...others] = preferOpen(fits);
      if (others.length > 0) {
        throw new CountersignError("REQUEST_AMBIGUOUS", `"${reference}" fits ${others.length + 1} requests`, {
          hint: `use the request id: ${fits
            .slice(0, 5)
            .map((summary) => summary.id)
            .join(", ")}`,
        });
      }
      if (first !== undefined) return first;
      const old = isId("req", reference) ? await fromLog(reference) : null;
      if (old !== null) return old;
      throw new CountersignError("REQUEST_NOT_FOUND", `no request "${reference.slice(0, 64)}"`, {
        hint: "see them: countersign requests; older ones by their whole id",
      });
    },

    history: (request) => historyOf(parts.store, request),
  };
}

const isPrefix = (reference: string, id: string): boolean =>
  reference.length >= 8 && id.startsWith(reference);

/** A code that an open and some ended requests share means the open one. */
function preferOpen(fits: readonly RequestSummary[]): readonly RequestSummary[] {
  const open = fits.filter((summary) => !isClosedPhase(summary.phase));
  return open.length > 0 ? open : fits;
}
