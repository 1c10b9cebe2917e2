import type { Entry } from "../log/entry.ts";
import type { Reducer } from "../log/fold.ts";
import type { PolicyEntries } from "./entries.ts";

/** What runs (P6): the last adopted revision, and the last proposal that was reported. */
export interface AdoptedState {
  current: (PolicyEntries["policy.adopted"] & { readonly seq: number }) | null;
  /** Sequence number of the newest `policy` entry; what an adoption expects. */
  newestSeq: number | null;
  /** Sequence numbers of all adoptions, ascending. */
  adoptions: number[];
  /** Content hash of the proposal reported last, so that each is reported once. */
  proposed: string | null;
}

export const adoptedReducer: Reducer<AdoptedState> = {
  init: () => ({ current: null, newestSeq: null, adoptions: [], proposed: null }),
  apply(state, entry: Entry) {
    if (entry.kind === "policy.adopted") {
      state.current = { ...entry.data, seq: entry.seq };
      state.adoptions.push(entry.seq);
      state.proposed = null;
    } else if (entry.kind === "policy.proposed") state.proposed = entry.data.content;
    else return;
    state.newestSeq = entry.seq;
  },
  isOpen: (_state, subject) => (subject === "policy" || subject === "log" ? true : undefined),
  toJSON: (state) => state,
  fromJSON: (json: AdoptedState) => ({ ...json, adoptions: [...json.adoptions] }),
};
