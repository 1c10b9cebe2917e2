import { parseTimestamp } from "../base/clock.ts";
import type { Digest } from "../base/digest.ts";
import { isId, type RequestId } from "../base/id.ts";
import type { Entry } from "../log/entry.ts";
import type { Reducer } from "../log/fold.ts";
import type { Assurance, Requirement } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import { passkeyOf } from "./credentials.ts";
import type { ConsentEntries, DecisionRefusalCode } from "./entries.ts";
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
  takenBack: boolean;
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
  answer: { readonly text: string; readonly agent: string; readonly at: string } | null;
}

/** A question and its state until settled, and then until its request closes. */
export interface Consent {
  readonly request: RequestId;
  readonly digest: Digest;
  readonly code: string;
  readonly question: Question;
  readonly requirement: Requirement;
  /** Epoch milliseconds. */
  readonly deadline: number;
  readonly decisions: DecisionRecord[];
  readonly escalated: EscalatedStep[];
  /** The newest reminder, and how many there were; null: none yet. */
  reminded: { readonly count: number; readonly at: string; readonly people: readonly PersonId[] } | null;
  readonly inquiries: Inquiry[];
  settled: ConsentEntries["consent.settled"] | null;
}

export interface ConsentsState {
  readonly byRequest: Map<RequestId, Consent>;
  readonly byDigest: Map<Digest, RequestId>;
  /** A code is for display and may be shared by chance; commands refuse an ambiguous one. */
  readonly byCode: Map<string, Set<RequestId>>;
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
  init: () => ({ byRequest: new Map(), byDigest: new Map(), byCode: new Map() }),

  apply(state, entry) {
    if (entry.kind === "credential.removed") disown(state, entry.data.credential);
    if (!isId("req", entry.subject)) return;
    if (entry.kind === "consent.asked") {
      const { question, digest, code, requirement } = entry.data;
      add(state, {
        request: entry.subject,
        digest,
        code,
        question,
        requirement,
        deadline: parseTimestamp(question.deadline),
        decisions: [],
        escalated: [],
        reminded: null,
        inquiries: [],
        settled: null,
      });
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

  toJSON: (state) => [...state.byRequest.values()],

  fromJSON(json: Consent[]) {
    const state = consentsReducer.init();
    for (const consent of json) add(state, consent);
    return state;
  },
};

function add(state: ConsentsState, consent: Consent): void {
  state.byRequest.set(consent.request, consent);
  state.byDigest.set(consent.digest, consent.request);
  const sharers = state.byCode.get(consent.code);
  if (sharers === undefined) state.byCode.set(consent.code, new Set([consent.request]));
  else sharers.add(consent.request);
}

function remove(state: ConsentsState, consent: Consent): void {
  state.byRequest.delete(consent.request);
  state.byDigest.delete(consent.digest);
  const sharers = state.byCode.get(consent.code);
  sharers?.delete(consent.request);
  if (sharers?.size === 0) state.byCode.delete(consent.code);
}

/** Whoever takes a passkey away takes away what it approved and was not granted yet. */
function disown(state: ConsentsState, credential: string): void {
  for (const { decisions } of state.byRequest.values()) {
    for (const decision of decisions) if (decision.credential === credential) decision.takenBack = true;
  }
}

/** What happens around a question while it waits. */
function noteAround(consent: Consent, entry: Entry): void {
  if (entry.kind === "consent.escalated") {
    for (const { clause, step } of entry.data.steps) consent.escalated.push({ clause, step, at: entry.time });
  } else if (entry.kind === "consent.reminded") {
    const count = (consent.reminded?.count ?? 0) + 1;
    consent.reminded = { count, at: entry.time, people: entry.data.people };
  } else if (entry.kind === "inquiry.made") {
    const { inquiry: id, person, text } = entry.data;
    consent.inquiries.push({ id, person, text, at: entry.time, answer: null });
  } else if (entry.kind === "inquiry.answered") {
    const inquiry = consent.inquiries.find(({ id }) => id === entry.data.inquiry);
    if (inquiry !== undefined)
      inquiry.answer = { text: entry.data.text, agent: entry.data.agent, at: entry.time };
  }
}

function record(consent: Consent, entry: Entry<"decision.recorded">): void {
  const { statement, statement_digest, person, assurance, counted, why_not, clauses } = entry.data;
  if (statement.decision === "take_back" && counted) {
    for (const decision of consent.decisions) {
      if (decision.statementDigest === statement.takes_back && decision.person === person)
        decision.takenBack = true;
    }
  }
  consent.decisions.push({
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
  });
}
