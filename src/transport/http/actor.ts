import { SCOPES, type Scope } from "../../config/api-scopes.ts";
import type { Caller, PersonId } from "../../request/principal.ts";

// Who speaks to the people's listener: a program with a token, or a person with a session. Neither approves by being
// one of them: a decision counts by its proof (P1), and a session's word is worth A2 for five minutes, then A1.

export { SCOPES, type Scope };

export interface TokenActor {
  readonly kind: "token";
  readonly name: string;
  readonly scopes: ReadonlySet<Scope>;
  /** As whom it makes requests; null where it makes none (C1). */
  readonly acts: { readonly principal: string; readonly agent: string } | null;
  /** Epoch milliseconds at which its time is over; absent or null: never. */
  readonly expiresAt?: number | null;
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
  /**
   * The session whose cookie this is, if it stands and its person is enabled. `isUse` false: a page asks by itself, and
   * nobody is known to be there; that keeps no session from ending (S3).
   */
  find(cookieHeader: string | undefined, isUse?: boolean): Session | null;
}

/** Sent by a page that fetches a newer copy of itself. */
export const LIVE_HEADER = "x-countersign-live";

/** True where a person asks; false where an open page does so by itself: its stream of events, and its newer copies. */
export const isUse = (header: (name: string) => string | undefined): boolean =>
  header(LIVE_HEADER) === undefined && header("accept") !== "text/event-stream";

/** What handlers find on the context: who speaks, or nobody where a route is open to nobody in particular. */
export interface ApiEnv {
  readonly Variables: { actor: Actor | null };
}

/** The person of a session; null for a program. */
export const personOf = (actor: Actor): PersonId | null =>
  actor.kind === "session" ? actor.session.person : null;

/** True where the actor may use what needs `scope`. */
export const mayUse = (actor: Actor, scope: Scope): boolean =>
  actor.kind === "session" || actor.scopes.has(scope);

/** For counting and for operations; never a secret. */
export const actorName = (actor: Actor): string =>
  actor.kind === "session" ? `person ${actor.session.person}` : `token ${actor.name}`;

/** As whom a program makes requests; null where it may not (C1). */
export function callerOf(actor: Actor): Caller | null {
  if (actor.kind !== "token" || actor.acts === null) return null;
  const { principal, agent } = actor.acts;
  return { principal: { kind: "named", id: principal }, agent, transport: "http", client: null };
}
