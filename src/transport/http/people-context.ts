import type { Context } from "hono";
import type { z } from "zod";
import type { Clock } from "../../base/clock.ts";
import type { CredentialDesk } from "../../consent/credential-desk.ts";
import { CountersignError, isFault } from "../../errors.ts";
import type { PersonId } from "../../request/principal.ts";
import type { ApiEnv, Scope, Session } from "./actor.ts";
import { readJson } from "./json-body.ts";
import type { OidcSignIn } from "./oidc.ts";
import { answerProblem, faultProblem, problem, type Problem } from "./problem.ts";
import type { PeopleSessions } from "./sessions.ts";
import { createTries } from "./tries.ts";

// What the routes of sign-in, people and passkeys share.

export interface PeopleRoutesParts {
  readonly credentials: CredentialDesk;
  readonly sessions: PeopleSessions;
  /** Null where no identity provider is configured. */
  readonly oidc: OidcSignIn | null;
  readonly clock: Clock;
  /** Id of the log: user handles are made of it. */
  readonly log: string;
  /** Address of our own pages. */
  origin(): string;
  personName(person: PersonId): string;
  /** Told when somebody is locked out; never with a secret. */
  warn(fields: Readonly<Record<string, string>>, message: string): void;
}

export type PeopleEnv = ApiEnv;
export type PeopleRequest = Context<PeopleEnv>;

const TRY_LIMITS = {
  // Behind a proxy everybody comes from one address, so an address may fail oftener than one person's passkey.
  most: (key: string) => (key.startsWith("source ") ? 30 : 10),
  windowMs: 15 * 60_000,
  lockMs: 15 * 60_000,
};

const MAX_BODY = 128 * 1024;

export interface PeopleContext {
  /**
   * Does the work, and counts a failure of it against the keys. What is right is never refused: codes have 80 random bits
   * and answers a signature, so a lock would stop nobody who guesses, and everybody who shares their address.
   * @throws CountersignError `TOO_MANY_TRIES` in the place of a failure beyond the limit
   */
  guarded<T>(keys: readonly string[], work: () => Promise<T> | T): Promise<T>;
  succeeded(keys: readonly string[]): void;
  /** Begins a session and gives the browser its cookie. What this browser had before is over, whoever it was (S2). */
  begin(
    c: PeopleRequest,
    who: Pick<Session, "person" | "method" | "subject" | "signedInAt">,
  ): Promise<Session>;
}

export function createPeopleContext({ clock, sessions, warn }: PeopleRoutesParts): PeopleContext {
  const tries = createTries(
    () => clock.monotonic(),
    TRY_LIMITS,
    (key) => warn({ key }, "too many tries failed: somebody guesses, or something is broken"),
  );
  return {
    succeeded: tries.succeeded,
    async guarded(keys, work) {
      try {
        return await work();
      } catch (error) {
        if (isFault(error) && GUESSES.has(error.code)) {
          tries.demand(keys);
          tries.failed(keys);
        }
        throw error;
      }
    },
    async begin(c, who) {
      const before = sessionOf(c);
      if (before !== null) await sessions.end(before.person, before.id);
      const { session, cookie } = await sessions.start(who);
      c.header("set-cookie", cookie, { append: true });
      return session;
    },
  };
}

/** A fault as a problem; what only the operator may know goes on. */
export function answerPeopleFault(error: unknown): Response {
  const known = faultProblem(error);
  if (known === null) throw error;
  const response = answerProblem(known);
  const wait = isFault(error, "TOO_MANY_TRIES") ? error.details["retryAfterMs"] : undefined;
  if (typeof wait === "number") response.headers.set("retry-after", String(Math.ceil(wait / 1_000)));
  return response;
}

/** Faults that may be somebody's guess. */
const GUESSES: ReadonlySet<string> = new Set([
  "INVITATION_INVALID",
  "SIGN_IN_REFUSED",
  "SIGNATURE_INVALID",
  "CREDENTIAL_REFUSED",
]);

/** The same whatever is wrong with a challenge. */
export const expiredChallenge = (): CountersignError =>
  new CountersignError("SIGN_IN_REFUSED", "this page's challenge is not ours, was answered, or is over", {
    hint: "open the page again and repeat it",
  });

/** The session that speaks; null for a program, or nobody. */
export const sessionOf = (c: PeopleRequest): Session | null => {
  const actor = c.get("actor");
  return actor?.kind === "session" ? actor.session : null;
};

/** Where the request came from, as tries are counted by it. */
export const sourceOf = (c: PeopleRequest): string => {
  const { incoming } = (c.env ?? {}) as {
    readonly incoming?: { readonly socket: { readonly remoteAddress?: string } };
  };
  return `source ${incoming?.socket.remoteAddress ?? "unknown"}`;
};

/** Why this actor may not; null where it may. */
export function barrier(c: PeopleRequest, scope: Scope): Problem | null {
  const actor = c.get("actor");
  if (actor === null || actor === undefined) return problem("unauthenticated");
  if (actor.kind === "session" || actor.scopes.has(scope)) return null;
  return {
    ...problem("unauthenticated", `the token lacks the scope ${scope}`),
    status: 403,
    code: "scope_missing",
  };
}

/** The body, parsed. */
export async function read<T extends z.ZodType>(
  c: PeopleRequest,
  schema: T,
): Promise<
  { readonly ok: true; readonly value: z.output<T> } | { readonly ok: false; readonly problem: Problem }
> {
  const body = await readJson(c, MAX_BODY);
  if ("problem" in body) return { ok: false, problem: body.problem };
  const parsed = schema.safeParse(body.value);
  if (parsed.success) return { ok: true, value: parsed.data };
  const issue = parsed.error.issues[0];
  const message = `/${issue?.path.map(String).join("/") ?? ""}: ${issue?.message ?? ""}`;
  return { ok: false, problem: problem("bad_request", message) };
}
