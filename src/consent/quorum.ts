import type { Policy } from "../policy/policy.ts";
import { meets, type Clause, type Requirement } from "../policy/verdict.ts";
import type { PersonId, Requester } from "../request/principal.ts";
import type { Consent } from "./consents.ts";
import type { Quorum } from "./desk.ts";
import { isInvolved, isMemberAt, membersBetween, membersOf } from "./people.ts";

// Pure: decisions and policy in, quorum out.
//
//   C2. Clauses count distinct people, who must be eligible at decision and again at grant: so the quorum is always
//       computed from the people of the policy that runs *now*. Two things pass: a turn on call, and that an escalation
//       had come. Those are judged at the decision, and recorded with it.
//   C3. A decision below the required assurance counts for nothing.
//   C5. An escalation adds groups to a clause; never fewer people, never a weaker proof.
//   C7. A clause that can't be met once C1 persons are removed is denied at once.

/** What of a question the counting needs. */
export type Asked = Pick<Consent, "requester" | "requirement" | "decisions" | "escalated">;

/** What of a consent the counting needs. */
export const askedOf = ({ requester, requirement, decisions, escalated }: Consent): Asked => ({
  requester,
  requirement,
  decisions,
  escalated,
});

/** The groups that may serve the clause: those it names, and those that it has escalated to. */
export function groupsInForce({ requirement, escalated }: Asked, clause: number): readonly string[] {
  const { from = [], escalate = [] } = requirement.clauses[clause] ?? {};
  const reached = escalated.filter((one) => one.clause === clause);
  return [...new Set([...from, ...reached.flatMap(({ step }) => escalate[step]?.to ?? [])])];
}

/** May this person's approval count for the clause, if it is made at `at`? (C1, C2, C6) */
export const isEligibleAt = (
  policy: Policy,
  asked: Asked,
  clause: number,
  person: PersonId,
  at: number,
): boolean =>
  mayStand(asked.requirement, asked.requester, person) &&
  isMemberAt(policy, groupsInForce(asked, clause), person, at);

/** Positions of the clauses that this person could serve at `at`. */
export const clausesFor = (policy: Policy, asked: Asked, person: PersonId, at: number): readonly number[] =>
  [...asked.requirement.clauses.keys()].filter((clause) => isEligibleAt(policy, asked, clause, person, at));

/** People whose approval would count for the clause at `at`. */
export const peopleFor = (policy: Policy, asked: Asked, clause: number, at: number): readonly PersonId[] =>
  [...membersBetween(policy, groupsInForce(asked, clause), at, at)].filter((person) =>
    mayStand(asked.requirement, asked.requester, person),
  );

/** True where who may serve the requirement changes while it waits, so that a decision has to say what it could serve. */
export const movesInTime = (policy: Policy, { clauses }: Requirement): boolean =>
  clauses.some(
    ({ from, escalate }) => escalate !== undefined || from.some((group) => policy.onCall.has(group)),
  );

/** C1 and C6: not by who asked, but for the person of `solo:`. */
const mayStand = ({ solo }: Requirement, requester: Requester, person: PersonId): boolean =>
  solo === person || !isInvolved(requester, person);

/** How far every clause is, by the people and keys of `policy`. */
export function quorumOf(policy: Policy, asked: Asked): Quorum {
  const { requirement, requester, decisions } = asked;
  const clauses = requirement.clauses.map((clause, index) => {
    const members = membersOf(policy, groupsInForce(asked, index));
    const by = new Set<PersonId>();
    for (const decision of decisions) {
      if (decision.decision !== "approve" || !decision.counted || decision.takenBack) continue;
      if (!meets(decision.assurance, clause.assurance)) continue;
      if (decision.clauses !== null && !decision.clauses.includes(index)) continue;
      if (!mayStand(requirement, requester, decision.person)) continue;
      if (members.has(decision.person)) by.add(decision.person);
    }
    return { clause, by: [...by], missing: Math.max(0, clause.count - by.size) };
  });
  return { clauses, met: clauses.length > 0 && clauses.every((clause) => clause.missing === 0) };
}

/** The first clause that nobody could meet from `from` until `until`, or null (C7). */
export function unmeetableClause(
  policy: Policy,
  requirement: Requirement,
  requester: Requester,
  { from, until }: { readonly from: number; readonly until: number },
): Clause | null {
  for (const clause of requirement.clauses) {
    const able = new Set(membersBetween(policy, clause.from, from, until));
    for (const { afterMs, to } of clause.escalate ?? []) {
      if (from + afterMs >= until) continue;
      for (const person of membersBetween(policy, to, from + afterMs, until)) able.add(person);
    }
    const free = [...able].filter((person) => mayStand(requirement, requester, person));
    if (free.length < clause.count) return clause;
  }
  return requirement.clauses.length === 0 ? { from: [], count: 1, assurance: "A2" } : null;
}
