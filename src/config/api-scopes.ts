/** What a token of the API may do. A person's session may do all that a person may. */
export const SCOPES = [
  "requests:read",
  /** Make requests, answer inquiries about them, withdraw them: as the principal and agent of the token. */
  "requests:write",
  /** Hand in statements that people signed elsewhere. */
  "statements:write",
  "log:read",
  "policy:read",
  "people:read",
] as const;
export type Scope = (typeof SCOPES)[number];

/** What shows previews and the decisions about them: not for a token that asks, which is the agent's side (P4). */
const SHOWS_PREVIEWS: ReadonlySet<string> = new Set<Scope>(["requests:read", "log:read"]);

/** The scopes among these that a token can't have beside `requests:write`. */
export const barredBesideAsking = (scopes: readonly string[]): readonly string[] =>
  scopes.includes("requests:write") ? scopes.filter((scope) => SHOWS_PREVIEWS.has(scope)) : [];
