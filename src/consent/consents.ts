import { SavedOwn, type Shape } from "../base/packed-json.ts";
import type { Digest } from "../base/digest.ts";
import { isId, type RequestId } from "../base/id.ts";
import type { Entry } from "../log/entry.ts";
import type { Reducer } from "../log/fold.ts";
import type { Assurance, Requirement } from "../policy/verdict.ts";
import type { PersonId, Requester } from "../request/principal.ts";
import { passkeyOf } from "./credentials.ts";
import type { ConsentEntries, DecisionRefusalCode } from "./entries.ts";
import { createCommons, HeldConsent, holdConsent, type Commons } from "./held-consent.ts";
import type { Question } from "./question.ts";
import type { Statement } from "./statement.ts";

/** One person's answer as the fold keeps it; the proof stays in the log. */
export interface DecisionRecord {
  readonly person: PersonId;
  readonly decision: Statement["decision"];
  readonly statementDigest: Digest;
  readonly assurance: Assurance;
  readonly counted: boolean;
  readonly whyNot: DecisionRefusalCode | null;
  readonly reason: string | null;
  /** Positions of the clauses that the person could serve then; null: membership alone says so. */
  readonly clauses: readonly number[] | null;
  /** Timestamp of the entry. */
  readonly at: string;
  /** An approval taken back is dead: the same statement never counts again. So is one by a passkey removed since. */
  readonly takenBack: boolean;
  /** The passkey that signed, or signed the session in; null for another proof. */
  readonly credential: string | null;
}

/** A step of a clause whose time has come: its groups may answer from then on. */
export interface EscalatedStep {
  readonly clause: number;
  readonly step: number;
  /** Timestamp of the entry. */
  readonly at: string;
}

/** A person's question back to the agent, and what the agent said: a claim (P3). */
export interface Inquiry {
  readonly id: string;
  readonly person: PersonId;
  readonly text: string;
  readonly at: string;
  readonly answer: { readonly text: string; readonly agent: string; readonly at: string } | null;
}

/** A question and its state until settled, and then until its request closes. What is in it is replaced, never changed. */
export interface Consent {
  readonly request: RequestId;
  readonly digest: Digest;
  readonly code: string;
  /** Unpacked at each look: take what you need of it once. */
  readonly question: Question;
  readonly requirement: Requirement;
  /** That of the question. */
  readonly requester: Requester;
  /** Epoch milliseconds. */
  readonly askedAt: number;
  /** Epoch milliseconds. */
  readonly deadline: number;
  readonly decisions: readonly DecisionRecord[];
  readonly escalated: readonly EscalatedStep[];
  /** The newest reminder, and how many there were; null: none yet. */
  readonly reminded: {
    readonly count: number;
    readonly at: string;
    readonly people: readonly PersonId[];
  } | null;
  readonly inquiries: readonly Inquiry[];
  readonly settled: ConsentEntries["consent.settled"] | null;
}

export interface ConsentsState {
  readonly byRequest: Map<RequestId, HeldConsent>;
  readonly byDigest: Map<Digest, RequestId>;
  /** One request, or the several that share the code by chance. */
  readonly byCode: Map<string, RequestId | readonly RequestId[]>;
  /** What questions have in common. */
  readonly commons: Commons;
}

/** A code is for display and may be shared by chance; commands refuse an ambiguous one. */
export function requestsWithCode({ byCode }: ConsentsState, code: string): readonly RequestId[] {
  const found = byCode.get(code);
  return found === undefined ? [] : typeof found === "string" ? [found] : found;
}

/** Kinds after which nobody can be asked about the request any more. */
const ENDS: ReadonlySet<Entry["kind"]> = new Set([
  "request.withdrawn",
  "request.expired",
  "request.stale",
  "execution.settled",
  "execution.resolved",
]);

export const consentsReducer: Reducer<ConsentsState> = {
  init: () => ({
    byRequest: new Map(),
    byDigest: new Map(),
    byCode: new Map(),
    commons: createCommons(),
  }),

  apply(state, entry) {
    if (entry.kind === "credential.removed") disown(state, entry.data.credential);
    if (!isId("req", entry.subject)) return;
    if (entry.kind === "consent.asked") {
      add(state, holdConsent(state.commons, entry.subject, entry.data));
      return;
    }
    const consent = state.byRequest.get(entry.subject);
    if (consent === undefined) return;
    if (entry.kind === "decision.recorded") record(consent, entry);
    else noteAround(consent, entry);
    if (entry.kind === "consent.settled") {
      consent.settled = entry.data;
      if (entry.data.outcome === "denied") remove(state, consent);
    }
    if (ENDS.has(entry.kind)) remove(state, consent);
  },

  toJSON(state) {
    const shapes = new Map<string, number>();
    const requirements = new Map<Requirement, number>();
    const requesters = new Map<Requester, number>();
    const numberOf = <T>(known: Map<T, number>, one: T): number => {
      const at = known.get(one) ?? known.size;
      known.set(one, at);
      return at;
    };
    const consents = Array.from(state.byRequest.values(), (consent): SavedConsent<SavedOwn> => {
      const { request, digest, code, askedAt, deadline, shape, own } = consent;
      const { decisions, escalated, reminded, inquiries, settled } = consent;
      return [
        ...([request, digest, code, askedAt, deadline] as const),
        numberOf(requirements, consent.requirement),
        numberOf(requesters, consent.requester),
        numberOf(shapes, shape.key),
        new SavedOwn(own),
        consent.isUntouched ? null : { decisions, escalated, reminded, inquiries, settled },
      ];
    });
    return {
      ...{ shapes: [...shapes.keys()], requirements: [...requirements.keys()] },
      ...{ requesters: [...requesters.keys()], consents },
    };
  },

  fromJSON(json: SavedConsents) {
    const state = consentsReducer.init();
    const { packer, share } = state.commons;
    const known = {
      shapes: json.shapes.map(packer.shapeOf),
      requirements: json.requirements.map(share),
      requesters: json.requesters.map(share),
    };
    for (const saved of json.consents) add(state, heldFrom(saved, known));
    return state;
  },
};

interface SavedConsents {
  readonly shapes: readonly string[];
  readonly requirements: readonly Requirement[];
  readonly requesters: readonly Requester[];
  readonly consents: readonly SavedConsent<string>[];
}

type Touched = Pick<Consent, "decisions" | "escalated" | "reminded" | "inquiries" | "settled">;

/** A consent as a snapshot has it: requirement, requester and shape by number, and what happened since it was asked, if anything. */
type SavedConsent<Own> = [
  ...[request: RequestId, digest: Digest, code: string, askedAt: number, deadline: number],
  ...[requirement: number, requester: number, shape: number, own: Own, touched: Touched | null],
];

function heldFrom(
  [request, digest, code, askedAt, deadline, ...rest]: SavedConsent<string>,
  known: {
    readonly shapes: readonly Shape[];
    readonly requirements: readonly Requirement[];
    readonly requesters: readonly Requester[];
  },
): HeldConsent {
  const [requirementAt, requesterAt, shapeAt, own, touched] = rest;
  const shape = known.shapes[shapeAt];
  const requirement = known.requirements[requirementAt];
  const requester = known.requesters[requesterAt];
  if (shape === undefined || requirement === undefined || requester === undefined) {
    throw new Error(`the snapshot lacks what ${request} has in common with others`);
  }
  const of = { request, digest, code, requirement, requester, askedAt, deadline };
  const consent = new HeldConsent(of, { shape, own: SavedOwn.read(own) });
  return touched === null ? consent : Object.assign(consent, touched);
}

function add(state: ConsentsState, consent: HeldConsent): void {
  const { request, code } = consent;
  state.byRequest.set(request, consent);
  state.byDigest.set(consent.digest, request);
  const sharers = requestsWithCode(state, code);
  state.byCode.set(code, sharers.length === 0 ? request : [...new Set([...sharers, request])]);
}

function remove(state: ConsentsState, { request, digest, code }: HeldConsent): void {
  state.byRequest.delete(request);
  state.byDigest.delete(digest);
  const [first, ...others] = requestsWithCode(state, code).filter((sharer) => sharer !== request);
  if (first === undefined) state.byCode.delete(code);
  else state.byCode.set(code, others.length === 0 ? first : [first, ...others]);
}

/** Whoever takes a passkey away takes away what it approved and was not granted yet. */
function disown(state: ConsentsState, credential: string): void {
  for (const consent of state.byRequest.values()) {
    if (consent.decisions.length > 0) takeBack(consent, (decision) => decision.credential === credential);
  }
}

function takeBack(consent: HeldConsent, which: (decision: DecisionRecord) => boolean): void {
  consent.decisions = consent.decisions.map((one) => (which(one) ? { ...one, takenBack: true } : one));
}

/** What happens around a question while it waits. */
function noteAround(consent: HeldConsent, entry: Entry): void {
  if (entry.kind === "consent.escalated") {
    const steps = entry.data.steps.map(({ clause, step }) => ({ clause, step, at: entry.time }));
    consent.escalated = [...consent.escalated, ...steps];
  } else if (entry.kind === "consent.reminded") {
    const count = (consent.reminded?.count ?? 0) + 1;
    consent.reminded = { count, at: entry.time, people: entry.data.people };
  } else if (entry.kind === "inquiry.made") {
    const { inquiry: id, person, text } = entry.data;
    consent.inquiries = [...consent.inquiries, { id, person, text, at: entry.time, answer: null }];
  } else if (entry.kind === "inquiry.answered") {
    const { inquiry, text, agent } = entry.data;
    const at = consent.inquiries.findIndex(({ id }) => id === inquiry);
    const asked = consent.inquiries[at];
    if (asked === undefined) return;
    consent.inquiries = consent.inquiries.with(at, { ...asked, answer: { text, agent, at: entry.time } });
  }
}

function record(consent: HeldConsent, entry: Entry<"decision.recorded">): void {
  const { statement, statement_digest, person, assurance, counted, why_not, clauses } = entry.data;
  if (statement.decision === "take_back" && counted) {
    takeBack(consent, (one) => one.statementDigest === statement.takes_back && one.person === person);
  }
  const decided: DecisionRecord = {
    person,
    decision: statement.decision,
    statementDigest: statement_digest,
    assurance,
    counted,
    whyNot: why_not,
    reason: statement.reason,
    clauses: clauses ?? null,
    at: entry.time,
    takenBack: false,
    credential: passkeyOf(entry.data.proof),
  };
  consent.decisions = [...consent.decisions, decided];
}
