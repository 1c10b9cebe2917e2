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

/** The resolved requester of an action: both sides known to the adopted policy (C1). */
export interface Requester {
  readonly principal: { readonly kind: "person" | "service"; readonly id: string };
  readonly agent: AgentId;
  /** Further links of an act-on-behalf chain, nearest first. People in it may not decide. */
  readonly chain: readonly string[];
  readonly owners: readonly PersonId[];
}
