import { err, ok, type Result } from "../base/result.ts";
import { onCallAt, onCallBetween } from "../policy/on-call.ts";
import type { Person, Policy } from "../policy/policy.ts";
import type {
  AnyRequester,
  Caller,
  PersonId,
  Requester,
  RequesterSide,
  UnresolvedRequester,
} from "../request/principal.ts";

// Who asks, and who may decide.
//
//   C1. Nobody who is the principal, in the act-on-behalf chain, or an owner of the agent, decides on the request;
//       admins are people too. Both sides of a requester must resolve against the adopted policy: of one that does
//       not, nothing but a read goes on, and nobody is asked about it, for nobody could say whom C1 removes.
//   C6. The person of `solo:` may decide on their own request where the requirement says so.

/** What of a requester could not be resolved, with the lines an operator would add. */
export interface Unresolved {
  readonly message: string;
  readonly lines: string;
  readonly requester: UnresolvedRequester;
}

type Gap = Omit<Unresolved, "requester">;

/** What of a name that nobody knows is kept. */
const LONGEST_NAME = 128;

export function resolveRequester(policy: Policy, caller: Caller): Result<Requester, Unresolved> {
  const principal = resolvePrincipal(policy, caller);
  const agent = resolveAgent(policy, caller);
  if (principal.ok && agent.ok) return ok({ principal: principal.value, ...agent.value, chain: [] });
  const gaps = [principal, agent].flatMap((side) => (side.ok ? [] : [side.error]));
  const unresolved: RequesterSide[] = [
    ...(principal.ok ? [] : (["principal"] as const)),
    ...(agent.ok ? [] : (["agent"] as const)),
  ];
  const claim = caller.principal;
  const claimed = (claim.kind === "os" ? claim.account : claim.id).slice(0, LONGEST_NAME);
  return err({
    message: gaps.map(({ message }) => message).join(", and "),
    lines: gaps.map(({ lines }) => lines).join("\n"),
    requester: {
      principal: principal.ok ? principal.value : { kind: "unresolved", id: claimed },
      ...(agent.ok ? agent.value : { agent: (caller.agent ?? "").slice(0, LONGEST_NAME), owners: [] }),
      chain: [],
      unresolved,
    },
  });
}

function resolveAgent(policy: Policy, caller: Caller): Result<Pick<Requester, "agent" | "owners">, Gap> {
  if (caller.agent === null) {
    return err({
      message: "the call names no agent",
      lines:
        "countersign.yaml:\n  stdio: { agent: <name> }\npolicy.yaml:\n  agents: { <name>: { owners: [<person>] } }",
    });
  }
  const agent = policy.agents.get(caller.agent);
  if (agent === undefined || agent.owners.length === 0) {
    return err({
      message: `the agent "${asKey(caller.agent)}" has no entry with an owner`,
      lines: `policy.yaml:\n  agents: { ${asKey(caller.agent)}: { owners: [<person>] } }`,
    });
  }
  return ok({ agent: caller.agent, owners: [...agent.owners].sort() });
}

/** An agent may name itself anything; the lines that an operator copies hold a name or nothing of it. */
const asKey = (agent: string): string =>
  /^[A-Za-z0-9][A-Za-z0-9._@-]{0,79}$/.test(agent) ? agent : "<agent>";

function resolvePrincipal(policy: Policy, caller: Caller): Result<Requester["principal"], Gap> {
  const claim = caller.principal;
  if (claim.kind === "os") {
    for (const person of policy.people.values()) {
      if (!person.disabled && person.os.includes(claim.account)) return ok({ kind: "person", id: person.id });
    }
    return err({
      message: `the account ${claim.account} belongs to nobody in the policy`,
      lines: `policy.yaml:\n  people: { <person>: { os: ["${claim.account}"] } }`,
    });
  }
  const person = policy.people.get(claim.id);
  if (person !== undefined && !person.disabled) return ok({ kind: "person", id: claim.id });
  if (policy.services.has(claim.id)) return ok({ kind: "service", id: claim.id });
  return err({
    message:
      person === undefined ? `the principal "${claim.id}" is not in the policy` : `"${claim.id}" is disabled`,
    lines: `policy.yaml:\n  people: { ${claim.id}: { name: <name> } }   # or\n  services: { ${claim.id}: {} }`,
  });
}

/** True while principal, agent and owners are what they were: enabled, and the same people (C1, before the claim). */
export function requesterStands(policy: Policy, requester: AnyRequester): boolean {
  const { principal, owners } = requester;
  // A side that nobody knew has to be nobody's still: as somebody's, other rules would speak about the call.
  const stands =
    principal.kind === "unresolved"
      ? !isSomebody(policy, principal.id)
      : principal.kind === "service"
        ? policy.services.has(principal.id)
        : policy.people.get(principal.id)?.disabled === false;
  const now = policy.agents.get(requester.agent)?.owners ?? [];
  return stands && [...now].sort().join("\n") === owners.join("\n");
}

const isSomebody = (policy: Policy, claimed: string): boolean =>
  policy.services.has(claimed) ||
  policy.people.get(claimed)?.disabled === false ||
  [...policy.people.values()].some(({ disabled, os }) => !disabled && os.includes(claimed));

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
