import { createHash, createHmac, randomBytes } from "node:crypto";
import { CountersignError } from "../../errors.ts";
import type { PersonId } from "../../request/principal.ts";
import type { Session, Sessions } from "./actor.ts";

// People's sessions.
//
//   S1. The cookie holds 256 random bits and nothing else; only their digest is kept, so the file opens no session.
//   S2. A sign-in always makes a new token: nobody can fix a session beforehand.
//   S3. A session ends with its time, when it is not used, when it is revoked, and at once when its person is disabled or
//       the passkey or account that signed it in is gone.
//   S4. Cookies are shared by all ports of a host: another server on localhost may be sent this one, and whoever has it
//       has the session. So a session shows A2 for five minutes and A1 after, never more; A3 always takes a passkey, and
//       so does every change of credentials but removing an own one.

/** What is kept of sessions; whoever reads it can list them and open none. */
export interface StoredSession {
  /** SHA-256 of the token, hex. */
  readonly digest: string;
  readonly id: string;
  readonly person: PersonId;
  readonly method: Session["method"];
  readonly subject: string;
  readonly signedInAt: number;
  readonly startedAt: number;
  readonly seenAt: number;
}

/** Where sessions are kept; a write is durable when it resolves. */
export interface SessionFile {
  read(): Promise<readonly StoredSession[] | null>;
  write(sessions: readonly StoredSession[]): Promise<void>;
}

export interface SessionParts {
  readonly file: SessionFile;
  now(): number;
  readonly idleMs: number;
  readonly absoluteMs: number;
  /** Tells the cookies of two gateways on one machine apart: a few characters of the log's id. */
  readonly name: string;
  /** True while the person is enabled and still has what signed them in (S3). */
  stands(who: Pick<Session, "person" | "method" | "subject">): boolean;
}

/** Sessions as the sign-in routes need them. */
export interface PeopleSessions extends Sessions {
  /**
   * Begins one. `signedInAt` is when the person proved who they are, epoch milliseconds.
   * @throws CountersignError `SIGN_IN_REFUSED` for somebody who may not sign in
   */
  start(
    who: Pick<Session, "person" | "method" | "subject" | "signedInAt">,
  ): Promise<{ readonly session: Session; readonly cookie: string }>;
  /** Those of a person that stand, newest first; their `csrf` is empty, because only the cookie gives it. */
  list(person: PersonId): readonly Session[];
  /** Ends one of the person's. False where there is none of that id. */
  end(person: PersonId, id: string): Promise<boolean>;
  /** Ends all of the person's but one. */
  endOthers(person: PersonId, id: string): Promise<number>;
  /** The header that makes a browser forget the cookie. */
  readonly clearCookie: string;
  /** Writes what is only in memory: when sessions were last used. */
  flush(): Promise<void>;
}

const TOKEN = /^[A-Za-z0-9_-]{43}$/;
const MOST_PER_PERSON = 20;
/** How often the last use of sessions is written. */
const SEEN_EVERY_MS = 60_000;

/** Reads the sessions that were kept and serves them. */
export async function createSessions(parts: SessionParts): Promise<PeopleSessions> {
  const { file, now, idleMs, absoluteMs } = parts;
  const cookieName = `__Host-countersign-${parts.name}`;
  const attributes = "Path=/; Secure; HttpOnly; SameSite=Strict";
  const byDigest = new Map<string, StoredSession>();
  for (const session of (await file.read()) ?? []) byDigest.set(session.digest, session);
  let writing: Promise<void> = Promise.resolve();
  let writtenAt = now();

  const endOf = ({ startedAt, seenAt }: StoredSession): number =>
    Math.min(startedAt + absoluteMs, seenAt + idleMs);
  const isOver = (session: StoredSession): boolean => now() >= endOf(session) || !parts.stands(session);
  const sweep = (): void => {
    for (const session of byDigest.values()) if (isOver(session)) byDigest.delete(session.digest);
  };
  const write = async (): Promise<void> => {
    sweep();
    writtenAt = now();
    writing = writing.catch(() => undefined).then(() => file.write([...byDigest.values()]));
    await writing;
  };
  const shown = (session: StoredSession, csrf: string): Session => ({
    id: session.id,
    person: session.person,
    method: session.method,
    subject: session.subject,
    signedInAt: session.signedInAt,
    expiresAt: endOf(session),
    csrf,
  });
  const ofPerson = (person: PersonId): readonly StoredSession[] =>
    [...byDigest.values()]
      .filter((session) => session.person === person && !isOver(session))
      .sort((a, b) => b.startedAt - a.startedAt);

  return {
    find(cookieHeader, isUse = true) {
      const token = onlyCookie(cookieHeader, cookieName);
      if (token === null || !TOKEN.test(token)) return null;
      const digest = digestOf(token);
      const session = byDigest.get(digest);
      if (session === undefined) return null;
      if (isOver(session)) {
        byDigest.delete(digest);
        return null;
      }
      if (!isUse) return shown(session, csrfOf(token));
      const seen = { ...session, seenAt: now() };
      byDigest.set(digest, seen);
      // Losing this write costs an idle session at most a minute.
      if (now() > writtenAt + SEEN_EVERY_MS) write().catch(() => undefined);
      return shown(seen, csrfOf(token));
    },

    async start({ person, method, subject, signedInAt }) {
      if (!parts.stands({ person, method, subject })) {
        throw new CountersignError("SIGN_IN_REFUSED", `"${person}" may not sign in`, {
          hint: "an admin looks whether the person is disabled, or has left the policy",
        });
      }
      for (const old of ofPerson(person).slice(MOST_PER_PERSON - 1)) byDigest.delete(old.digest);
      const token = randomBytes(32).toString("base64url");
      const digest = digestOf(token);
      const startedAt = now();
      const session: StoredSession = {
        digest,
        id: `ses_${randomBytes(12).toString("base64url")}`,
        person,
        method,
        subject,
        signedInAt,
        startedAt,
        seenAt: startedAt,
      };
      byDigest.set(digest, session);
      await write();
      const maxAge = Math.floor(absoluteMs / 1_000);
      return {
        session: shown(session, csrfOf(token)),
        cookie: `${cookieName}=${token}; ${attributes}; Max-Age=${maxAge}`,
      };
    },

    list: (person) => ofPerson(person).map((session) => shown(session, "")),

    async end(person, id) {
      const found = ofPerson(person).find((session) => session.id === id);
      if (found === undefined) return false;
      byDigest.delete(found.digest);
      await write();
      return true;
    },

    async endOthers(person, id) {
      const others = ofPerson(person).filter((session) => session.id !== id);
      for (const { digest } of others) byDigest.delete(digest);
      await write();
      return others.length;
    },

    clearCookie: `${cookieName}=; ${attributes}; Max-Age=0`,
    flush: write,
  };
}

const digestOf = (token: string): string => createHash("sha256").update(token).digest("hex");

/** Made of the token, so that it is in no file and no other page can know it. */
const csrfOf = (token: string): string =>
  createHmac("sha256", token).update("countersign.csrf.v1").digest("base64url");

/** The value of a cookie that stands in the header once; two of one name are somebody's game. */
export function onlyCookie(header: string | undefined, name: string): string | null {
  const values = (header ?? "")
    .split(";")
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  return values.length === 1 ? (values[0] ?? null) : null;
}
