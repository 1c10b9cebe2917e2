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
