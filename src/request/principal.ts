import { createHash } from "node:crypto";
import type { Effect } from "./action-request.ts";

/** A key under `people:` in policy.yaml. */
export type PersonId = string;
/** A key under `agents:` in policy.yaml. */
export type AgentId = string;

/** Who a transport authenticated, before the policy is asked who that is. Never taken from `clientInfo`. */
export type PrincipalClaim =
  /** An OS account, as `uid@host` (stdio). */
  | { readonly kind: "os"; readonly account: string }
  /** A principal named by the operator's configuration, a flag, or the token that was presented. */
  | { readonly kind: "named"; readonly id: string }
  /**
   * The subject of an access token that was verified, at the issuer that vouches for it. `isClient`: the token was
   * issued to a client for itself, so no person is behind it.
   */
  | {
      readonly kind: "oidc";
      readonly issuer: string;
      readonly subject: string;
      readonly isClient: boolean;
    };

/** Who acts for the subject of an access token, as its issuer says: RFC 8693 §4.1, else the client it was issued to. */
export interface Acting {
  readonly issuer: string;
  /** Null where the token names none. */
  readonly client: string | null;
  /** Subjects of `act`, from the one who acts now to the first; empty where the client itself acts. */
  readonly actors: readonly string[];
}

/** The authenticated side of a call. */
export interface Caller {
  readonly principal: PrincipalClaim;
  /** From a token, a flag or the configuration; null where none named one. */
  readonly agent: AgentId | null;
  /** Instead of `agent`, for the policy to say which agent it is: what an access token says. */
  readonly acting?: Acting;
  /** What the credential may be used for; absent: all that the policy lets it. */
  readonly permits?: readonly Effect[];
  readonly transport: "stdio" | "http" | "cli";
  /** What the client says of itself: a claim, recorded and never believed (P2). */
  readonly client: { readonly name: string; readonly version: string } | null;
}

/** The resolved requester of an action: both sides known to the adopted policy (C1). Only such a one can be asked about. */
export interface Requester {
  readonly principal: { readonly kind: "person" | "service"; readonly id: string };
  readonly agent: AgentId;
  /**
   * Further links of an act-on-behalf chain, nearest first: people by their id, else `agent:` or `service:` and a name.
   * Each agent is followed by its owners. People in it may not decide.
   */
  readonly chain: readonly string[];
  readonly owners: readonly PersonId[];
}

/** What of a name that nobody knows is kept. */
const LONGEST_NAME = 128;

/** Short enough to be kept, and never the same for two names: what an issuer says may be long and alike. */
export const shortName = (name: string): string =>
  name.length <= LONGEST_NAME
    ? name
    : `${name.slice(0, 96)}~${createHash("sha256").update(name).digest("base64url").slice(0, 22)}`;

/** The principal as its transport authenticated it, whoever the policy says that is. At most 128 characters. */
export function claimedPrincipal(claim: PrincipalClaim): string {
  switch (claim.kind) {
    case "os":
      return claim.account.slice(0, LONGEST_NAME);
    case "named":
      return claim.id.slice(0, LONGEST_NAME);
    case "oidc":
      return shortName(`${claim.issuer} ${claim.subject}`);
  }
}

/** The agent as the caller's credential names it; empty for nothing. At most 128 characters. */
export function claimedAgent({ agent, acting }: Pick<Caller, "agent" | "acting">): string {
  const actor = acting?.actors[0] ?? acting?.client ?? null;
  return acting === undefined
    ? (agent ?? "").slice(0, LONGEST_NAME)
    : actor === null
      ? ""
      : shortName(`${acting.issuer} ${actor}`);
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
