import type { Entry } from "../log/entry.ts";
import type { Reducer } from "../log/fold.ts";
import type { Proof } from "../consent/entries.ts";
import type { AdoptionStatement, PolicyEntries } from "./entries.ts";

/** What runs (P6): the last adopted revision, and the last proposal that was reported. */
export interface AdoptedState {
  current: (PolicyEntries["policy.adopted"] & { readonly seq: number; readonly at: string }) | null;
  /** Sequence number of the newest `policy` entry; what an adoption expects. */
  newestSeq: number | null;
  /** Sequence numbers of all adoptions, ascending. */
  adoptions: number[];
  /** Content hash of the proposal reported last, so that each is reported once. */
  proposed: string | null;
  /** Statements that wait for others, one a person; gone once policy or file moved. */
  endorsements: Endorsement[];
}

/** One person's statement towards an adoption, as the fold keeps it. */
export interface Endorsement {
  readonly statement: AdoptionStatement;
  readonly proof: Proof;
  /** Timestamp of its entry: a session's word is worth what it was worth then. */
  readonly at: string;
}

export const adoptedReducer: Reducer<AdoptedState> = {
  init: () => ({ current: null, newestSeq: null, adoptions: [], proposed: null, endorsements: [] }),
  apply(state, entry: Entry) {
    if (entry.kind === "policy.adopted") {
      state.current = { ...entry.data, seq: entry.seq, at: entry.time };
      state.adoptions.push(entry.seq);
      state.proposed = null;
      state.endorsements = [];
    } else if (entry.kind === "policy.proposed") {
      state.proposed = entry.data.content;
      const { revision } = entry.data;
      state.endorsements = state.endorsements.filter(({ statement }) => statement.to.policy === revision);
    } else if (entry.kind === "policy.endorsed") {
      const { statement, proof } = entry.data;
      const others = state.endorsements.filter((one) => one.statement.approver !== statement.approver);
      state.endorsements = [...others, { statement, proof, at: entry.time }];
    } else return;
    state.newestSeq = entry.seq;
  },
  isOpen: (_state, subject) => (subject === "policy" || subject === "log" ? true : undefined),
  toJSON: (state) => ({ ...state, adoptions: [...state.adoptions] }),
  fromJSON: (json: AdoptedState) => ({
    ...json,
    adoptions: [...json.adoptions],
    endorsements: [...json.endorsements],
  }),
};
