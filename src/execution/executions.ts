import { parseTimestamp } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import { isId, type GrantId, type LeaseId, type RequestId } from "../base/id.ts";
import type { Entry } from "../log/entry.ts";
import type { Reducer } from "../log/fold.ts";
import type { ClaimOwner, LeaseEntries } from "./entries.ts";

/** A grant and what became of it, until the outcome is known. */
export interface Execution {
  readonly request: RequestId;
  readonly grant: GrantId;
  readonly basis: "verdict" | "consent";
  readonly question: Digest | null;
  readonly plan: Digest;
  /** Epoch milliseconds. */
  readonly executeBy: number;
  readonly grantedAt: number;
  status: "granted" | "claimed" | "dispatched" | "unknown";
  owner: ClaimOwner | null;
  fence: number;
}

export interface OpenLease {
  readonly id: LeaseId;
  readonly opened: LeaseEntries["lease.opened"];
  /** Epoch milliseconds. */
  readonly endsAt: number;
}

export interface ExecutionsState {
  readonly open: Map<RequestId, Execution>;
  readonly leases: Map<LeaseId, OpenLease>;
  /** Requests that a person wants asked for again, and for which nothing was asked since. */
  readonly again: Map<RequestId, Wish>;
}

/** When it was said, epoch ms, and the keys under which the same action would be asked for. */
export interface Wish {
  readonly at: number;
  readonly keys: readonly string[];
}

/** Nobody wishes for so many at a time; what is older is forgotten. */
const MOST_WISHES = 100;

const ENDS: ReadonlySet<Entry["kind"]> = new Set([
  "request.expired",
  "request.stale",
  "request.withdrawn",
  "execution.resolved",
]);

export const executionsReducer: Reducer<ExecutionsState> = {
  init: () => ({ open: new Map(), leases: new Map(), again: new Map() }),

  apply(state, entry, at) {
    if (isId("lse", entry.subject)) {
      if (entry.kind === "lease.opened") {
        state.leases.set(entry.subject, {
          id: entry.subject,
          opened: entry.data,
          endsAt: parseTimestamp(entry.data.ends_at),
        });
      } else if (entry.kind === "lease.ended") state.leases.delete(entry.subject);
      return;
    }
    if (!isId("req", entry.subject)) return;
    if (entry.kind === "grant.minted") {
      state.open.set(entry.subject, granted(entry.subject, entry, at));
      return;
    }
    if (entry.kind === "request.received" && state.again.size > 0) fulfil(state, entry);
    if (entry.kind === "execution.resolved" && entry.data.signed?.statement.again === true) {
      const keys = (entry.keys ?? []).map(({ key }) => key);
      state.again.set(entry.subject, { at, keys });
      const [oldest] = state.again.size > MOST_WISHES ? state.again.keys() : [];
      if (oldest !== undefined) state.again.delete(oldest);
    }
    const execution = state.open.get(entry.subject);
    if (execution === undefined) return;
    if (entry.kind === "execution.claimed") {
      execution.status = "claimed";
      execution.owner = entry.data.owner;
      execution.fence = entry.data.fence;
    } else if (entry.kind === "execution.dispatched") execution.status = "dispatched";
    else if (entry.kind === "execution.settled") {
      if (entry.data.outcome === "unknown") execution.status = "unknown";
      else state.open.delete(entry.subject);
    } else if (ENDS.has(entry.kind)) state.open.delete(entry.subject);
  },

  isOpen: (state, subject) => (isId("lse", subject) ? state.leases.has(subject) : undefined),
  toJSON: (state) => ({
    open: Array.from(state.open.values(), (execution) => ({ ...execution })),
    leases: [...state.leases.values()],
    again: [...state.again],
  }),
  fromJSON: (json: { open: Execution[]; leases: OpenLease[]; again: [RequestId, Wish][] }) => ({
    again: new Map(json.again),
    open: new Map(json.open.map((execution) => [execution.request, execution])),
    leases: new Map(json.leases.map((lease) => [lease.id, lease])),
  }),
};

/** What follows fulfils a wish; so does the same call by the agent itself, or it would run twice (X2). */
function fulfil({ again }: ExecutionsState, { data, keys = [] }: Entry<"request.received">): void {
  if (data.follows !== null) again.delete(data.follows);
  for (const [request, wish] of again) {
    if (keys.some(({ key }) => wish.keys.includes(key))) again.delete(request);
  }
}

const granted = (request: RequestId, entry: Entry<"grant.minted">, at: number): Execution => ({
  request,
  grant: entry.data.grant,
  basis: entry.data.basis,
  question: entry.data.question,
  plan: entry.data.plan,
  executeBy: parseTimestamp(entry.data.execute_by),
  grantedAt: at,
  status: "granted",
  owner: null,
  fence: 0,
});
