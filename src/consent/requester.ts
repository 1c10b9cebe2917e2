import { err, ok, type Result } from "../base/result.ts";
import { accountKey } from "../policy/accounts.ts";
import type { Policy } from "../policy/policy.ts";
import {
  claimedAgent,
  claimedPrincipal,
  shortName,
  type Acting,
  type AnyRequester,
  type Caller,
  type PrincipalClaim,
  type Requester,
  type RequesterSide,
  type UnresolvedRequester,
} from "../request/principal.ts";

// Who asks. Who may decide: people.ts.
//
//   C1. Both sides of a requester must resolve against the adopted policy: of one that does not, nothing but a read
//       goes on, and nobody is asked about it, for nobody could say whom C1 removes. That holds for every link of an
//       act-on-behalf chain too: an actor whom the policy does not know may be anybody.
//
// An account at an identity provider counts with its issuer only, so the same subject at another issuer is nobody.

/** What of a requester could not be resolved, with the lines an operator would add. */
export interface Unresolved {
  readonly message: string;
  readonly lines: string;
  readonly requester: UnresolvedRequester;
}

type Gap = Omit<Unresolved, "requester">;
type Sides = Pick<Requester, "agent" | "owners" | "chain">;

export function resolveRequester(policy: Policy, caller: Caller): Result<Requester, Unresolved> {
  const principal = resolvePrincipal(policy, caller.principal);
  const agent =
    caller.acting === undefined ? resolveAgent(policy, caller) : resolveActing(policy, caller.acting);
  if (principal.ok && agent.ok) return ok({ principal: principal.value, ...agent.value });
  const gaps = [principal, agent].flatMap((side) => (side.ok ? [] : [side.error]));
  const unresolved: RequesterSide[] = [
    ...(principal.ok ? [] : (["principal"] as const)),
    ...(agent.ok ? [] : (["agent"] as const)),
  ];
  return err({
    message: gaps.map(({ message }) => message).join(", and "),
    lines: gaps.map(({ lines }) => lines).join("\n"),
    requester: {
      principal: principal.ok
        ? principal.value
        : { kind: "unresolved", id: claimedPrincipal(caller.principal) },
      ...(agent.ok ? agent.value : { agent: claimedAgent(caller), owners: [], chain: [] }),
      unresolved,
    },
  });
}

function resolveAgent(policy: Policy, { agent: name }: Caller): Result<Sides, Gap> {
  if (name === null) {
    return err({
      message: "the call names no agent",
      lines:
        "countersign.yaml:\n  stdio: { agent: <name> }\npolicy.yaml:\n  agents: { <name>: { owners: [<person>] } }",
    });
  }
  const agent = policy.agents.get(name);
  if (agent === undefined || agent.owners.length === 0) {
    return err({
      message: `the agent "${asKey(name)}" has no entry with an owner`,
      lines: `policy.yaml:\n  agents: { ${asKey(name)}: { owners: [<person>] } }`,
    });
  }
  return ok({ agent: name, owners: ownersOf(policy, name), chain: [] });
}

const ownersOf = (policy: Policy, agent: string): readonly string[] =>
  [...(policy.agents.get(agent)?.owners ?? [])].sort();

/** An agent may name itself anything; the lines that an operator copies hold a name or nothing of it. */
const asKey = (agent: string): string =>
  /^[A-Za-z0-9][A-Za-z0-9._@-]{0,79}$/.test(agent) ? agent : "<agent>";

/** What an issuer says of somebody, for a line of YAML. */
const asValue = (text: string): string => (/^[\x21-\x7e]{1,200}$/.test(text) ? JSON.stringify(text) : "<id>");

/** The agent that acts now, and everybody it acts through, with the owners of its agents (RFC 8693 §4.1). */
function resolveActing(policy: Policy, acting: Acting): Result<Sides, Gap> {
  const found = linksOfActing(policy, acting);
  if (!found.ok) return found;
  const { agent, links } = found.value;
  const chain = links.flatMap((link) =>
    link.startsWith(AGENT_LINK) ? [link, ...ownersOf(policy, link.slice(AGENT_LINK.length))] : [link],
  );
  return ok({ agent, owners: ownersOf(policy, agent), chain: [...new Set(chain)] });
}

/**
 * Whom a caller acts through, without the owners of agents, whom an adoption may change while a request is open: two
 * callers of one principal and agent are the same only if they act through the same (R1).
 */
export function actsThrough(policy: Policy, { acting }: Caller): readonly string[] {
  const found = acting === undefined ? null : linksOfActing(policy, acting);
  return found?.ok === true ? found.value.links : [];
}

/**
 * True where a request with this chain may be the caller's. Who has no access token acts through nobody that could be
 * compared. More people in the chain are owners, or who wanted it asked for again (gate/again.ts).
 */
export function isOwnChain(policy: Policy, caller: Caller, chain: readonly string[]): boolean {
  if (caller.acting === undefined) return true;
  const links = actsThrough(policy, caller);
  return (
    links.every((link) => chain.includes(link)) &&
    chain.every((link) => !/^(?:agent|service):/.test(link) || links.includes(link))
  );
}

function linksOfActing(
  policy: Policy,
  { issuer, client, actors }: Acting,
): Result<{ readonly agent: string; readonly links: readonly string[] }, Gap> {
  const { accounts } = policy;
  const [current, ...through] = actors;
  const byClient = client === null ? undefined : accounts.clients.get(accountKey(issuer, client));
  const agent = current === undefined ? byClient : accounts.actors.get(accountKey(issuer, current));
  if (agent === undefined) {
    if (current === undefined && client === null)
      return err({
        message: "the access token names neither a client nor an actor",
        lines: "the authorization server has to put client_id into its access tokens (RFC 9068)",
      });
    const [what, key] = current === undefined ? ["client", "client_id"] : ["actor", "subject"];
    const id = asValue(current ?? client ?? "");
    return err({
      message: `the ${what} ${id} at ${issuer} is no agent of the policy`,
      lines: `policy.yaml:\n  agents: { <agent>: { owners: [<person>], oidc: { issuer: "${issuer}", ${key}: ${id} } } }`,
    });
  }
  const links: string[] = [];
  for (const actor of through) {
    const known = linksOf(policy, accountKey(issuer, actor));
    if (known.length === 0)
      return err({
        message: `the token acts through ${asValue(actor)} at ${issuer}, whom the policy does not know`,
        lines: `policy.yaml:\n  agents: { <agent>: { owners: [<person>], oidc: { issuer: "${issuer}", subject: ${asValue(actor)} } } }`,
      });
    links.push(...known);
  }
  // A person who acts as the agent does not decide either, nor do the owners of the client that fetched the token.
  const holder = current === undefined ? undefined : accounts.principals.get(accountKey(issuer, current));
  if (holder?.kind === "person") links.push(holder.id);
  if (byClient !== undefined && byClient !== agent) links.push(`${AGENT_LINK}${byClient}`);
  return ok({ agent, links: [...new Set(links)] });
}

const AGENT_LINK = "agent:";

/** Everybody whom this account of a chain is. */
function linksOf(policy: Policy, key: string): readonly string[] {
  const agent = policy.accounts.actors.get(key);
  const holder = policy.accounts.principals.get(key);
  return [
    ...(agent === undefined ? [] : [`${AGENT_LINK}${agent}`]),
    ...(holder === undefined ? [] : [holder.kind === "person" ? holder.id : `service:${holder.id}`]),
  ];
}

function resolvePrincipal(policy: Policy, claim: PrincipalClaim): Result<Requester["principal"], Gap> {
  switch (claim.kind) {
    case "os":
      for (const person of policy.people.values()) {
        if (!person.disabled && person.os.includes(claim.account))
          return ok({ kind: "person", id: person.id });
      }
      return err({
        message: `the account ${claim.account} belongs to nobody in the policy`,
        lines: `policy.yaml:\n  people: { <person>: { os: ["${claim.account}"] } }`,
      });
    case "oidc":
      return resolveSubject(policy, claim);
    case "named":
      return resolveNamed(policy, claim.id);
  }
}

function resolveNamed(policy: Policy, id: string): Result<Requester["principal"], Gap> {
  const person = policy.people.get(id);
  if (person !== undefined && !person.disabled) return ok({ kind: "person", id });
  if (policy.services.has(id)) return ok({ kind: "service", id });
  return err({
    message: person === undefined ? `the principal "${id}" is not in the policy` : `"${id}" is disabled`,
    lines: `policy.yaml:\n  people: { ${id}: { name: <name> } }   # or\n  services: { ${id}: {} }`,
  });
}

function resolveSubject(
  policy: Policy,
  { issuer, subject, isClient }: Extract<PrincipalClaim, { kind: "oidc" }>,
): Result<Requester["principal"], Gap> {
  const holder = policy.accounts.principals.get(accountKey(issuer, subject));
  // RFC 9068 §5: a client may be called what a person's subject is, so a token of its own never speaks for a person.
  if (holder !== undefined && !(isClient && holder.kind === "person")) return ok(holder);
  const account = `{ issuer: "${issuer}", subject: ${asValue(subject)} }`;
  return err({
    message: isClient
      ? `the client ${asValue(subject)} at ${issuer} is no service of the policy`
      : `nobody in the policy is ${asValue(subject)} at ${issuer}`,
    lines: isClient
      ? `policy.yaml:\n  services: { <service>: { oidc: ${account} } }`
      : `policy.yaml:\n  people: { <person>: { oidc: ${account} } }   # or\n  services: { <service>: { oidc: ${account} } }`,
  });
}

/** True while principal, agent, chain and owners are what they were: enabled, and the same people (C1, before the claim). */
export function requesterStands(policy: Policy, requester: AnyRequester): boolean {
  const { principal, owners, agent, chain } = requester;
  // A side that nobody knew has to be nobody's still: as somebody's, other rules would speak about the call.
  const stands =
    principal.kind === "unresolved"
      ? !isSomebody(policy, principal.id)
      : principal.kind === "service"
        ? policy.services.has(principal.id)
        : policy.people.get(principal.id)?.disabled === false;
  return (
    stands &&
    ownersOf(policy, agent).join("\n") === owners.join("\n") &&
    !("unresolved" in requester && isAgent(policy, agent)) &&
    chain.every((link) => chainStands(policy, link, chain))
  );
}

/** An agent of the chain is still there, and whoever owns it now is barred. */
const chainStands = (policy: Policy, link: string, chain: readonly string[]): boolean => {
  if (!link.startsWith(AGENT_LINK)) return true;
  const agent = link.slice(AGENT_LINK.length);
  return policy.agents.has(agent) && ownersOf(policy, agent).every((owner) => chain.includes(owner));
};

const hasAccount = (accounts: ReadonlyMap<string, unknown>, claimed: string): boolean =>
  [...accounts.keys()].some((key) => shortName(key) === claimed);

const isAgent = ({ accounts }: Policy, claimed: string): boolean =>
  hasAccount(accounts.actors, claimed) || hasAccount(accounts.clients, claimed);

const isSomebody = (policy: Policy, claimed: string): boolean =>
  policy.services.has(claimed) ||
  policy.people.get(claimed)?.disabled === false ||
  [...policy.people.values()].some(({ disabled, os }) => !disabled && os.includes(claimed)) ||
  hasAccount(policy.accounts.principals, claimed);
