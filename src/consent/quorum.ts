import type { Policy } from "../policy/policy.ts";
import { meets, type Clause, type Requirement } from "../policy/verdict.ts";
import type { PersonId, Requester } from "../request/principal.ts";
import type { DecisionRecord } from "./consents.ts";
import type { Quorum } from "./desk.ts";
import { isInvolved, membersOf } from "./people.ts";

// Pure: decisions and policy in, quorum out.
//
//   C2. Clauses count distinct people, who must be eligible at decision and again at grant: so the quorum is always
//       computed from the people of the policy that runs *now*.
//   C3. A decision below the required assurance counts for nothing.
//   C7. A clause that can't be met once C1 persons are removed is denied at once.

/** May this person's approval count for the clause? (C1, C2, C6) */
export function isEligible(
  policy: Policy,
  requirement: Requirement,
  requester: Requester,
  clause: Clause,
  person: PersonId,
): boolean {
  if (isInvolved(requester, person) && requirement.solo !== person) return false;
  return membersOf(policy, clause.from).has(person);
}

/** How far every clause is, by the people and keys of `policy`. */
export function quorumOf(
  policy: Policy,
  requirement: Requirement,
  requester: Requester,
  decisions: readonly DecisionRecord[],
): Quorum {
  const clauses = requirement.clauses.map((clause) => {
    const by = new Set<PersonId>();
    for (const decision of decisions) {
      if (decision.decision !== "approve" || !decision.counted || decision.takenBack) continue;
      if (!meets(decision.assurance, clause.assurance)) continue;
      if (isEligible(policy, requirement, requester, clause, decision.person)) by.add(decision.person);
    }
    return { clause, by: [...by], missing: Math.max(0, clause.count - by.size) };
  });
  return { clauses, met: clauses.length > 0 && clauses.every((clause) => clause.missing === 0) };
}

/** The first clause that nobody could meet, or null (C7). */
export function unmeetableClause(
  policy: Policy,
  requirement: Requirement,
  requester: Requester,
): Clause | null {
  for (const clause of requirement.clauses) {
    let able = 0;
    for (const person of membersOf(policy, clause.from)) {
      if (isEligible(policy, requirement, requester, clause, person)) able += 1;
    }
    if (able < clause.count) return clause;
  }
  return requirement.clauses.length === 0 ? { from: [], count: 1, assurance: "A2" } : null;
}
