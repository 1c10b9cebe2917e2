import type { Policy } from "../policy/policy.ts";
import { meets, type Assurance, type Requirement } from "../policy/verdict.ts";
import type { PersonId, Requester } from "../request/principal.ts";
import { isInvolved, membersOf } from "./people.ts";

/**
 * Why a clause can't be met with the proof it asks for, or null (C7): known only while the gate
 * runs, because passkeys stand in the log and not in the policy. `solo` may decide with a key file (C6).
 */
export function whyUnprovable(
  policy: Policy,
  requirement: Requirement,
  requester: Requester,
  strongest: (person: PersonId) => Assurance | null,
): string | null {
  const { solo } = requirement;
  for (const clause of requirement.clauses) {
    const asked = [...clause.from, ...(clause.escalate ?? []).flatMap(({ to }) => to)];
    const able = [...membersOf(policy, asked)].filter((person) => {
      if (isInvolved(requester, person)) return person === solo;
      const proof = strongest(person);
      return proof !== null && meets(proof, clause.assurance);
    });
    if (able.length < clause.count) {
      return `${clause.count} of [${clause.from.join(", ")}] would have to approve with ${clause.assurance}; too few of them have a passkey or key that proves it: countersign people list`;
    }
  }
  return null;
}
