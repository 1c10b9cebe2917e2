import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isUse, type Actor, type Sessions, type TokenActor } from "./actor.ts";
import type { Authenticate } from "./bearer.ts";

// Who speaks. An Authorization header settles it: a bad token is refused even where a good cookie came along, so that
// nobody acts as somebody else than they said.

export interface IdentifyParts {
  readonly tokens: Authenticate<TokenActor>;
  readonly sessions?: Sessions;
  now(): number;
}

/** `rejected`: credentials were given, and they are nobody's, or their time is over. */
export type Identity =
  | { readonly actor: Actor | null; readonly rejected: false }
  | { readonly actor: null; readonly rejected: true };

export interface Identify {
  (headers: IncomingMessage["headers"]): Identity;
  /** Whether an actor from before may still speak: a session can be revoked, a token's time can be over. */
  stands(actor: Actor, cookie: string | undefined): boolean;
}

export function createIdentify(parts: IdentifyParts): Identify {
  const isOver = (actor: TokenActor): boolean =>
    typeof actor.expiresAt === "number" && parts.now() >= actor.expiresAt;
  const identify = (headers: IncomingMessage["headers"]): Identity => {
    if (headers.authorization !== undefined) {
      const actor = parts.tokens(headers.authorization);
      return actor === null || isOver(actor) ? { actor: null, rejected: true } : { actor, rejected: false };
    }
    const session =
      parts.sessions?.find(
        headers.cookie,
        isUse((name) => single(headers[name])),
      ) ?? null;
    return { actor: session === null ? null : { kind: "session", session }, rejected: false };
  };
  return Object.assign(identify, {
    stands(actor: Actor, cookie: string | undefined) {
      if (actor.kind === "token") return !isOver(actor);
      return parts.sessions?.find(cookie, false)?.id === actor.session.id;
    },
  });
}

const single = (value: string | readonly string[] | undefined): string | undefined =>
  typeof value === "string" ? value : undefined;

/** True where the header is the session's own CSRF token. Compared as digests: no length, no prefix shows in the time. */
export function isCsrf(given: string | undefined, expected: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return given !== undefined && timingSafeEqual(digest(given), digest(expected));
}
