import type { PersonId } from "../../request/principal.ts";

// Who speaks to the people's listener: a program with a token, or a person with a session. Neither approves by being
// one of them: a decision counts by its proof (P1), and a session's word is worth A2 for five minutes, then A1.

/** What a token may do. A person's session may do all that a person may. */
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

export interface TokenActor {
  readonly kind: "token";
  readonly name: string;
  readonly scopes: ReadonlySet<Scope>;
  /** As whom it makes requests; null where it makes none (C1). */
  readonly acts: { readonly principal: string; readonly agent: string } | null;
}

export interface SessionActor {
  readonly kind: "session";
  readonly session: Session;
}

export type Actor = TokenActor | SessionActor;

/** A person who signed in. The cookie holds a random token; only its digest is kept. */
export interface Session {
  /** For listing and revoking; not the token. */
  readonly id: string;
  readonly person: PersonId;
  readonly method: "passkey" | "oidc";
  /** `issuer subject`, or the credential id. */
  readonly subject: string;
  /** Epoch milliseconds. */
  readonly signedInAt: number;
  readonly expiresAt: number;
  /** Sent back as `X-CSRF-Token` with everything that is not GET. */
  readonly csrf: string;
}

/** What the listener needs of sessions. */
export interface Sessions {
  /** The session whose cookie this is, if it stands and its person is enabled. */
  find(cookieHeader: string | undefined): Session | null;
}
