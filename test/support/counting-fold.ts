import type { Entry } from "../../src/log/entry.ts";
import { createFold, type Fold, type Reducer } from "../../src/log/fold.ts";

/** Counts entries per kind and per open request; a request closes with `request.withdrawn`. */
export interface Counts {
  total: number;
  kinds: Record<string, number>;
  open: Record<string, number>;
  /** Sum over seq × length of kind: differs if entries came in another order. */
  mix: number;
}

const countReducer: Reducer<Counts> = {
  init: () => ({ total: 0, kinds: {}, open: {}, mix: 0 }),
  apply(state, entry: Entry) {
    state.total += 1;
    state.kinds[entry.kind] = (state.kinds[entry.kind] ?? 0) + 1;
    state.mix = (state.mix * 31 + entry.seq * entry.kind.length) % 1_000_000_007;
    if (!entry.subject.startsWith("req_")) return;
    if (entry.kind === "request.withdrawn") delete state.open[entry.subject];
    else state.open[entry.subject] = (state.open[entry.subject] ?? 0) + 1;
  },
  isOpen: (state, subject) => (subject.startsWith("req_") ? subject in state.open : undefined),
  toJSON: (state) => structuredClone(state),
  fromJSON: (json: Counts) => json,
};

export type CountingFold = Fold<{ counts: Reducer<Counts> }>;

/** The project's own fold over one small reducer. */
export const countingFold = (): CountingFold => createFold({ counts: countReducer });
