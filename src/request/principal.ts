/** A key under `people:` in policy.yaml. */
export type PersonId = string;
/** A key under `agents:` in policy.yaml. */
export type AgentId = string;

/** Who a transport authenticated, before the policy is asked who that is. Never taken from `clientInfo`. */
export type PrincipalClaim =
  /** An OS account, as `uid@host` (stdio). */
  | { readonly kind: "os"; readonly account: string }
  /** A principal named by the operator's configuration, a flag, or the token that was presented. */
  | { readonly kind: "named"; readonly id: string };

/** The authenticated side of a call. */
export interface Caller {
  readonly principal: PrincipalClaim;
  /** From a token, a flag or the configuration; null where none named one. */
  readonly agent: AgentId | null;
  readonly transport: "stdio" | "http" | "cli";
  /** What the client says of itself: a claim, recorded and never believed (P2). */
  readonly client: { readonly name: string; readonly version: string } | null;
}

/** The resolved requester of an action: both sides known to the adopted policy (C1). Only such a one can be asked about. */
export interface Requester {
  readonly principal: { readonly kind: "person" | "service"; readonly id: string };
  readonly agent: AgentId;
  /** Further links of an act-on-behalf chain, nearest first. People in it may not decide. */
  readonly chain: readonly string[];
  readonly owners: readonly PersonId[];
}

export type RequesterSide = "principal" | "agent";

/**
 * A requester of whom the adopted policy does not know one side or both (C1): what its call may do is read. Nobody is
 * invented for it: `principal.id` is what the transport authenticated, `agent` what it named, empty for nothing.
 */
export interface UnresolvedRequester {
  readonly principal: { readonly kind: "person" | "service" | "unresolved"; readonly id: string };
  readonly agent: AgentId;
  readonly chain: readonly string[];
  readonly owners: readonly PersonId[];
  /** Never empty. */
  readonly unresolved: readonly RequesterSide[];
}

export type AnyRequester = Requester | UnresolvedRequester;

/** The sides that the policy did not know; empty for a resolved requester. */
export const unresolvedSides = (requester: AnyRequester): readonly RequesterSide[] =>
  "unresolved" in requester ? requester.unresolved : [];

/** True for the same principal and agent, each known or unknown as the other's: what is answered to one may be to the other. */
export const isSameRequester = (a: AnyRequester, b: AnyRequester): boolean =>
  a.principal.kind === b.principal.kind &&
  a.principal.id === b.principal.id &&
  a.agent === b.agent &&
  unresolvedSides(a).join() === unresolvedSides(b).join();

/** Principal and agent as people read them. Not neutral yet: a name nobody knows is the caller's own text. */
export function requesterWords(requester: AnyRequester): {
  readonly principal: string;
  readonly agent: string;
} {
  const { principal, agent } = requester;
  const unknown = unresolvedSides(requester);
  const named = agent === "" ? "no named agent" : `${agent} (unresolved)`;
  return {
    principal: principal.kind === "unresolved" ? `${principal.id} (unresolved)` : principal.id,
    agent: unknown.includes("agent") ? named : agent,
  };
}
