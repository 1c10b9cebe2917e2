import { timestamp, type Clock } from "../base/clock.ts";
import type { RequestId } from "../base/id.ts";
import { CountersignError } from "../errors.ts";
import type { Policy } from "../policy/policy.ts";
import type { View } from "../preview/view.ts";
import type { RequestsState } from "../request/requests.ts";
import type { AppendResult, Batch } from "../store/store.ts";
import type { Attest } from "./attest.ts";
import { requestsWithCode, type Consent, type ConsentsState } from "./consents.ts";
import type { CredentialsState } from "./credentials.ts";
import { createDecide } from "./decide.ts";
import type { Desk, PendingQuestion } from "./desk.ts";
import { isInvolved } from "./people.ts";
import { createInquire } from "./inquire.ts";
import { createLister } from "./listed-questions.ts";
import { askedOf, peopleFor, quorumOf } from "./quorum.ts";
import { waitingState } from "./waiting.ts";
import { statementSummary } from "./summary.ts";

/** What the desk needs of the home around it. */
export interface DeskParts {
  readonly clock: Clock;
  readonly state: {
    readonly requests: RequestsState;
    readonly consents: ConsentsState;
    readonly credentials: CredentialsState;
  };
  /** The policy that runs now. Current once `catchUp` has resolved. */
  policy(): Policy;
  /** What a decision that rests on `policy()` expects of the subject `policy`, so that an adoption is seen. */
  policySeq(): number | null;
  catchUp(): Promise<void>;
  append(batch: Batch): Promise<AppendResult>;
  view(request: RequestId): Promise<View>;
  readonly attest: Attest;
  maskText(text: string): string;
  /** True once the question's deadline has come by either clock. */
  isPastDeadline(consent: Consent): boolean;
  /** True while the wall clock is behind the log: no new grant (design §11, Clock). */
  clockIsBehind(): boolean;
}

export function createDesk(parts: DeskParts): Desk {
  const { clock, state } = parts;

  const summaryOf = (request: RequestId): string => state.requests.open.get(request)?.planned?.summary ?? "";
  const pendingOf = (consent: Consent): PendingQuestion => {
    const { request, code, digest, question, requirement, requester, deadline } = consent;
    const asked = askedOf(consent);
    const policy = parts.policy();
    const now = clock.now();
    return {
      ...{ request, code, digest, question, requirement, requester, deadline, summary: summaryOf(request) },
      quorum: quorumOf(policy, asked),
      eligible: requirement.clauses.map((_, clause) => peopleFor(policy, asked, clause, now)),
    };
  };
  const find = (reference: string): Consent => findConsent(state, reference);

  return {
    pending: () =>
      [...state.consents.byRequest.values()]
        .filter((consent) => consent.settled === null && !parts.isPastDeadline(consent))
        .sort((a, b) => a.deadline - b.deadline)
        .map(createLister(parts.policy(), clock.now(), summaryOf)),

    find: (reference) => pendingOf(find(reference)),

    async open(request) {
      const consent = find(request);
      const view = await parts.view(consent.request);
      const phase = state.requests.open.get(consent.request)?.phase ?? "held";
      return { ...pendingOf(consent), view, phase, ...waitingState(parts.policy(), consent, clock.now()) };
    },

    async draft(request, { decision, person, reason, log, fixable = false }) {
      const { digest, question, requirement, decisions } = find(request);
      const standing = decisions.find(
        (d) => d.person === person && d.decision === "approve" && d.counted && !d.takenBack,
      );
      return {
        typ: "countersign.decision",
        v: 1,
        decision,
        question: digest,
        summary: statementSummary(question),
        approver: person,
        solo: requirement.solo === person && isInvolved(question.requester, person),
        reason,
        ...(fixable && decision === "deny" ? { fixable: true as const } : {}),
        takes_back: decision === "take_back" ? (standing?.statementDigest ?? null) : null,
        log,
        issued_at: timestamp(clock.now()),
      };
    },

    decide: createDecide(parts),
    inquire: createInquire(parts, find),
  };
}

function findConsent({ consents, requests }: DeskParts["state"], reference: string): Consent {
  const byId = consents.byRequest.get(reference as RequestId);
  if (byId !== undefined) return byId;
  const [first, ...others] = requestsWithCode(consents, reference.toUpperCase());
  if (others.length > 0) {
    throw new CountersignError("REQUEST_AMBIGUOUS", `code ${reference} fits ${others.length + 1} requests`, {
      hint: `use the request id: ${[first, ...others].join(", ")}`,
    });
  }
  const consent = first === undefined ? undefined : consents.byRequest.get(first);
  if (consent !== undefined) return consent;
  const over =
    requests.recent.get(reference as RequestId) ??
    [...requests.recent.values()].findLast(({ code }) => code === reference.toUpperCase());
  const message =
    over === undefined ? `no open question "${reference}"` : `${over.id} is over: ${over.phase}`;
  throw new CountersignError("REQUEST_NOT_FOUND", message, {
    hint: "see what waits: countersign pending; see everything: countersign requests",
  });
}
