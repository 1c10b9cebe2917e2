import { isId, type RequestId } from "../base/id.ts";
import { SavedOwn, type Packer, type Shape } from "../base/packed-json.ts";
import type { Entry, KeyHold } from "../log/entry.ts";
import type { Reducer } from "../log/fold.ts";
import type { Effect } from "./action-request.ts";
import type { RequestEntries } from "./entries.ts";
import { createRequestPacker, HeldRequest, holdRequest } from "./held-request.ts";
import { requesterWords, unresolvedSides, type AnyRequester } from "./principal.ts";
import type { Phase, RequestSummary } from "./summary.ts";

// The requests of a home, folded from their entries. Open ones are kept whole, packed while people are asked; of closed
// ones the newest thousand stay as one-line summaries, the rest are found through the store.

/** An open request. The documents of a held one are unpacked at each look: take what you need of them once. */
export interface RequestRecord {
  readonly id: RequestId;
  readonly received: RequestEntries["request.received"];
  /** Recognition keys taken when it was received. */
  readonly keys: readonly KeyHold[];
  readonly planned: RequestEntries["request.planned"] | null;
  phase: Phase;
  code: string | null;
  readonly receivedAt: number;
  updatedAt: number;
  newestSeq: number;
}

/** What is left of a closed request: who asked for what effect, under which keys, and its last entry. */
export interface Ending {
  readonly effect: Effect;
  readonly requester: RequestEntries["request.received"]["requester"];
  readonly keys: readonly KeyHold[];
  readonly last: Entry;
}

export interface RequestsState {
  readonly open: Map<RequestId, RequestRecord>;
  /** Closed, oldest first. */
  readonly recent: Map<RequestId, RequestSummary>;
  /**
   * How the newest closed requests ended, and those that were asked about last, so that a caller is answered without
   * reading the log. Not in snapshots: after a restart the log answers.
   */
  readonly endings: Map<RequestId, Ending>;
  /** Open requests by `principal agent`, for the cap on open requests. */
  readonly openBy: Map<string, number>;
  /** What held requests have in common. */
  readonly packer: Packer;
}

const RECENT = 1_000;

const CLOSED: ReadonlySet<Phase> = new Set<Phase>([
  "done",
  "failed",
  "refused",
  "denied",
  "expired",
  "withdrawn",
  "stale",
]);
export const isClosedPhase = (phase: Phase): boolean => CLOSED.has(phase);

export const requesterKey = (principal: string, agent: string): string => `${principal} ${agent}`;

/** Whom a call counts for. A name that no policy knows may be a new one each time, so it counts for the principal alone. */
export const keyOfRequester = (requester: AnyRequester): string =>
  requesterKey(requester.principal.id, unresolvedSides(requester).includes("agent") ? "" : requester.agent);

export const requestsReducer: Reducer<RequestsState> = {
  init: () => ({
    open: new Map(),
    recent: new Map(),
    endings: new Map(),
    openBy: new Map(),
    packer: createRequestPacker(),
  }),

  apply(state, entry, at) {
    if (!isId("req", entry.subject)) return;
    if (entry.kind === "request.received") {
      receive(state, entry.subject, entry, at);
      return;
    }
    const record = state.open.get(entry.subject);
    if (record === undefined) {
      if (entry.kind === "request.refused") remember(state, attemptSummary(entry.subject, entry, at));
      return;
    }
    record.updatedAt = at;
    record.newestSeq = entry.seq;
    const phase = phaseAfter(record.phase, entry);
    record.phase = phase;
    if (entry.kind === "request.planned") {
      state.open.set(record.id, { ...plain(record), planned: entry.data });
    }
    if (entry.kind === "consent.asked") {
      record.code = entry.data.code;
      state.open.set(record.id, holdRequest(state.packer, record));
    }
    if (isClosedPhase(phase)) close(state, record, entry);
  },

  isOpen: (state, subject) => (isId("req", subject) ? state.open.has(subject) : undefined),

  toJSON: (state) => {
    const shapes = new Map<string, number>();
    const open = Array.from(state.open.values(), (record): SavedRecord<SavedOwn> => {
      if (!(record instanceof HeldRequest)) return { ...record };
      const { id, phase, code, receivedAt, updatedAt, newestSeq } = record;
      const shape = shapes.get(record.shape.key) ?? shapes.size;
      shapes.set(record.shape.key, shape);
      return [id, phase, code, receivedAt, updatedAt, newestSeq, shape, new SavedOwn(record.own)];
    });
    return { shapes: [...shapes.keys()], open, recent: [...state.recent.values()] };
  },

  fromJSON(json: { shapes: string[]; open: SavedRecord<string>[]; recent: RequestSummary[] }) {
    const state = requestsReducer.init();
    const shapes = json.shapes.map(state.packer.shapeOf);
    for (const saved of json.open) {
      const record = Array.isArray(saved) ? heldFrom(saved, shapes) : saved;
      state.open.set(record.id, record);
      count(state, record, 1);
    }
    for (const summary of json.recent) state.recent.set(summary.id, summary);
    return state;
  },
};

/** A record as a snapshot has it: a held one packed, its shape by number. */
type SavedRecord<Own> =
  | RequestRecord
  | [
      ...[id: RequestId, phase: Phase, code: string | null, receivedAt: number, updatedAt: number],
      ...[newestSeq: number, shape: number, own: Own],
    ];

function heldFrom(saved: Exclude<SavedRecord<string>, RequestRecord>, shapes: readonly Shape[]): HeldRequest {
  const [id, phase, code, receivedAt, updatedAt, newestSeq, at, own] = saved;
  const shape = shapes[at];
  if (shape === undefined) throw new Error(`no shape ${at} in the snapshot`);
  const packed = { shape, own: SavedOwn.read(own) };
  return new HeldRequest({ id, phase, code, receivedAt, updatedAt, newestSeq }, packed);
}

/** With its documents as members, whether they are packed or not. */
function plain(record: RequestRecord): RequestRecord {
  if (!(record instanceof HeldRequest)) return record;
  const { id, phase, code, receivedAt, updatedAt, newestSeq } = record;
  return { id, ...record.documents(), phase, code, receivedAt, updatedAt, newestSeq };
}

/** Where a request stands after one more entry: the whole state machine, in one place. */
export function phaseAfter(phase: Phase, entry: Pick<Entry, "kind" | "data">): Phase {
  const { kind, data } = entry as Entry;
  switch (kind) {
    case "request.received":
      return "received";
    case "request.planned":
      return "planned";
    case "request.refused":
      return "refused";
    case "request.withdrawn":
      return "withdrawn";
    case "request.expired":
      return "expired";
    case "request.stale":
      return "stale";
    case "consent.asked":
      return "held";
    case "consent.settled":
      return data.outcome === "denied" ? "denied" : phase;
    case "grant.minted":
      return "granted";
    case "execution.claimed":
      return "claimed";
    case "execution.dispatched":
      return "dispatched";
    case "execution.settled":
    case "execution.resolved":
      return data.outcome;
    case "decision.recorded":
    case "consent.escalated":
    case "consent.reminded":
    case "inquiry.made":
    case "inquiry.answered":
    case "credential.endorsed":
    case "credential.invited":
    case "credential.enrolled":
    case "credential.removed":
    case "policy.endorsed":
    case "execution.late":
    case "ask.delivered":
    case "log.opened":
    case "log.key_rotated":
    case "blob.erased":
    case "throttled":
    case "policy.adopted":
    case "policy.proposed":
    case "lease.opened":
    case "lease.ended":
      return phase;
  }
}

export function summaryOf(record: RequestRecord, reasonCode: string | null = null): RequestSummary {
  const { received, planned } = plain(record);
  return {
    id: record.id,
    phase: record.phase,
    tool: received.tool,
    environments: [...new Set(received.targets.map((target) => target.environment))],
    ...requesterWords(received.requester),
    summary: planned?.summary ?? null,
    code: record.code,
    reasonCode,
    receivedAt: record.receivedAt,
    updatedAt: record.updatedAt,
    newestSeq: record.newestSeq,
  };
}

function receive(state: RequestsState, id: RequestId, entry: Entry<"request.received">, at: number): void {
  const record: RequestRecord = {
    id,
    received: entry.data,
    keys: entry.keys ?? [],
    planned: null,
    phase: "received",
    code: null,
    receivedAt: at,
    updatedAt: at,
    newestSeq: entry.seq,
  };
  state.open.set(id, record);
  count(state, record, 1);
}

function close(state: RequestsState, record: RequestRecord, entry: Entry): void {
  state.open.delete(record.id);
  count(state, record, -1);
  remember(state, summaryOf(record, reasonCodeOf(entry)));
  const { received, keys } = plain(record);
  const { effect, requester } = received;
  rememberEnding(state, record.id, { effect, requester, keys, last: entry });
}

/** For the next one who asks: whoever polls an old request reads the log once. */
export function rememberEnding(
  { endings }: Pick<RequestsState, "endings">,
  id: RequestId,
  ending: Ending,
): void {
  endings.set(id, ending);
  forgetOldest(endings);
}

function remember(state: RequestsState, summary: RequestSummary): void {
  state.recent.set(summary.id, summary);
  forgetOldest(state.recent);
}

function forgetOldest(newest: Map<RequestId, unknown>): void {
  for (const oldest of newest.keys()) {
    if (newest.size <= RECENT) break;
    newest.delete(oldest);
  }
}

function count(state: RequestsState, record: RequestRecord, by: 1 | -1): void {
  const key = keyOfRequester(record.received.requester);
  const now = (state.openBy.get(key) ?? 0) + by;
  if (now > 0) state.openBy.set(key, now);
  else state.openBy.delete(key);
}

function reasonCodeOf(entry: Entry): string | null {
  switch (entry.kind) {
    case "request.refused":
      return entry.data.code;
    case "request.stale":
      return entry.data.why;
    case "request.expired":
      return entry.data.at;
    case "execution.settled":
      return entry.data.error?.code ?? null;
    default:
      return null;
  }
}

function attemptSummary(id: RequestId, entry: Entry<"request.refused">, at: number): RequestSummary {
  const { attempt, code, message } = entry.data;
  return {
    id,
    phase: "refused",
    tool: attempt?.tool ?? "",
    environments: [],
    principal: attempt?.principal ?? "",
    agent: attempt?.agent ?? "",
    summary: message,
    code: null,
    reasonCode: code,
    receivedAt: at,
    updatedAt: at,
    newestSeq: entry.seq,
  };
}
