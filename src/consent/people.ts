import { onCallAt, onCallBetween } from "../policy/on-call.ts";
import type { Person, Policy } from "../policy/policy.ts";
import type { AnyRequester, PersonId } from "../request/principal.ts";

// Who may decide. Who asks: requester.ts.
//
//   C1. Nobody who is the principal, in the act-on-behalf chain, or an owner of the agent, decides on the request;
//       admins are people too.
//   C6. The person of `solo:` may decide on their own request where the requirement says so.

/** True where C1 bars this person from deciding on the requester's actions. */
export const isInvolved = (requester: AnyRequester, person: PersonId): boolean =>
  (requester.principal.kind === "person" && requester.principal.id === person) ||
  requester.owners.includes(person) ||
  requester.chain.includes(person);

/**
 * Enabled members of any of the groups; of a group on call all who have turns. A person named directly counts as a
 * group of one.
 */
export function membersOf(policy: Policy, groups: readonly string[]): ReadonlySet<PersonId> {
  const members = new Set<PersonId>();
  for (const group of groups) {
    for (const id of policy.groups.get(group) ?? [group]) {
      const person = policy.people.get(id);
      if (person !== undefined && !person.disabled) members.add(id);
    }
  }
  return members;
}

/** True where this person is an enabled member of any of the groups at `at`; of a group on call, the one whose turn it is. */
export const isMemberAt = (
  policy: Policy,
  groups: readonly string[],
  person: PersonId,
  at: number,
): boolean =>
  groups.some((group) => {
    const rotation = policy.onCall.get(group);
    return rotation === undefined
      ? membersOf(policy, [group]).has(person)
      : onCallAt(rotation, at, isEnabledIn(policy)) === person;
  });

/** Everybody who is a member of any of the groups at some moment of a span. */
export function membersBetween(
  policy: Policy,
  groups: readonly string[],
  from: number,
  until: number,
): ReadonlySet<PersonId> {
  const fixed = groups.filter((group) => !policy.onCall.has(group));
  const members = new Set(membersOf(policy, fixed));
  for (const group of groups) {
    const rotation = policy.onCall.get(group);
    if (rotation === undefined) continue;
    for (const person of onCallBetween(rotation, from, until, isEnabledIn(policy))) members.add(person);
  }
  return members;
}

const isEnabledIn =
  (policy: Policy) =>
  (person: PersonId): boolean =>
    policy.people.get(person)?.disabled === false;

/** The person a key belongs to; disabled people have no keys. */
export function personOfKey(
  policy: Policy,
  fingerprint: string,
): { readonly person: Person; readonly userVerified: boolean } | null {
  for (const person of policy.people.values()) {
    if (person.disabled) continue;
    const key = person.ssh.find((entry) => entry.fingerprint === fingerprint);
    if (key !== undefined) return { person, userVerified: key.userVerified };
  }
  return null;
}
