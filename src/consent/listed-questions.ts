import { unpackedMembers } from "../base/packed-json.ts";
import type { Policy } from "../policy/policy.ts";
import type { Requirement } from "../policy/verdict.ts";
import type { RequestId } from "../base/id.ts";
import type { Requester } from "../request/principal.ts";
import type { Consent } from "./consents.ts";
import type { PendingQuestion, Quorum } from "./desk.ts";
import type { Question } from "./question.ts";
import { askedOf, peopleFor, quorumOf } from "./quorum.ts";

// Questions as a list has them, of which there may be thousands while a page shows fifty: what is the same for
// questions alike is worked out once a list, and what only a shown line needs when it is shown.

/** A line of a list. */
class ListedQuestion implements PendingQuestion {
  readonly request;
  readonly code;
  readonly digest;
  readonly requirement;
  readonly requester;
  readonly deadline;
  declare readonly question: Question;
  declare readonly summary: string;
  readonly quorum: Quorum;
  readonly eligible: PendingQuestion["eligible"];
  readonly #consent: Consent;
  readonly #summaryOf: (request: RequestId) => string;

  constructor(
    consent: Consent,
    counted: Pick<PendingQuestion, "quorum" | "eligible">,
    summaryOf: (request: RequestId) => string,
  ) {
    this.request = consent.request;
    this.code = consent.code;
    this.digest = consent.digest;
    this.requirement = consent.requirement;
    this.requester = consent.requester;
    this.deadline = consent.deadline;
    this.quorum = counted.quorum;
    this.eligible = counted.eligible;
    this.#consent = consent;
    this.#summaryOf = summaryOf;
    Object.defineProperties(this, ListedQuestion.#shown);
  }

  static readonly #shown = unpackedMembers<ListedQuestion, Pick<PendingQuestion, "question" | "summary">>({
    question: (of) => of.#consent.question,
    summary: (of) => of.#summaryOf(of.request),
  });
}

/** Makes the lines of one list, all of the same moment. `now` in epoch milliseconds. */
export function createLister(
  policy: Policy,
  now: number,
  summaryOf: (request: RequestId) => string,
): (consent: Consent) => PendingQuestion {
  // Equal requirements are the same object, and so are equal requesters (consents.ts).
  const alike = new Map<Requirement, Map<Requester, Pick<PendingQuestion, "quorum" | "eligible">>>();
  const count = (consent: Consent): Pick<PendingQuestion, "quorum" | "eligible"> => {
    const asked = askedOf(consent);
    return {
      quorum: quorumOf(policy, asked),
      eligible: consent.requirement.clauses.map((_, clause) => peopleFor(policy, asked, clause, now)),
    };
  };
  return (consent) => {
    const { requirement, requester, decisions, escalated } = consent;
    if (decisions.length > 0 || escalated.length > 0) {
      return new ListedQuestion(consent, count(consent), summaryOf);
    }
    const byRequester = alike.get(requirement) ?? new Map<Requester, ReturnType<typeof count>>();
    alike.set(requirement, byRequester);
    const counted = byRequester.get(requester) ?? count(consent);
    byRequester.set(requester, counted);
    return new ListedQuestion(consent, counted, summaryOf);
  };
}
