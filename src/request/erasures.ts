import { isId, type RequestId } from "../base/id.ts";
import type { Entry } from "../log/entry.ts";
import type { Reducer } from "../log/fold.ts";

// What was erased of ended requests. The entry comes first and the erasing after it (L1): a document that is gone has
// its entry, always. Whoever died in between left documents that the log calls erased, so the newest erasures are
// remembered, and the steward does them once more; erasing what is gone is no error.

export interface ErasuresState {
  /** Retention has looked at everything that ended up to this entry; -1: at nothing yet. */
  through: number;
  /** The newest erasures of record documents: request, and the sequence number of its entry. Oldest first. */
  readonly newest: Map<RequestId, number>;
}

/** At least as many as one batch of retention has. */
export const NEWEST_ERASURES = 64;

export const erasuresReducer: Reducer<ErasuresState> = {
  init: () => ({ through: -1, newest: new Map() }),
  apply(state, entry: Entry) {
    if (entry.kind !== "blob.erased" || entry.data.documents === undefined) return;
    const { request, through } = entry.data;
    if (through !== undefined && through > state.through) state.through = through;
    if (request === null || !isId("req", request)) return;
    state.newest.delete(request);
    state.newest.set(request, entry.seq);
    for (const oldest of state.newest.keys()) {
      if (state.newest.size <= NEWEST_ERASURES) break;
      state.newest.delete(oldest);
    }
  },
  toJSON: ({ through, newest }) => ({ through, newest: [...newest] }),
  fromJSON: (json: { through: number; newest: [RequestId, number][] }) => ({
    through: json.through,
    newest: new Map(json.newest),
  }),
};
