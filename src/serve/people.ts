import { join } from "node:path";
import type { Hono } from "hono";
import { systemClock, type Clock } from "../base/clock.ts";
import type { Settings } from "../config/settings.ts";
import { sessionStands } from "../consent/attest.ts";
import type { Home } from "../gate/home.ts";
import { createDurableFile } from "../store/embedded/durable-file.ts";
import { createOidcSignIn } from "../transport/http/oidc.ts";
import { createPeopleRoutes, type PeopleEnv } from "../transport/http/people-routes.ts";
import { createSessions, type PeopleSessions, type StoredSession } from "../transport/http/sessions.ts";

/** What the people's listener needs of sign-in and credentials. */
export interface People {
  readonly sessions: PeopleSessions;
  readonly routes: Hono<PeopleEnv>;
}

/** Sessions that survive a restart, and the routes of sign-in, people and passkeys. */
export async function createPeople(
  home: Pick<Home, "adoption" | "credentials" | "store" | "log">,
  settings: Pick<Settings, "dataDir" | "sessions" | "oidc">,
  clock: Clock = systemClock,
): Promise<People> {
  const { credentials } = home;
  const people = () => home.adoption.current().people;
  const sessions = await createSessions({
    file: sessionFile(join(settings.dataDir, "sessions.json")),
    now: () => clock.now(),
    ...settings.sessions,
    name: home.store.logId.slice(-6).toLowerCase(),
    stands({ person, method, subject }) {
      const known = people().get(person);
      return known?.disabled === false && sessionStands(known, { method, subject }, credentials.find);
    },
  });
  const origin = (): string => credentials.rp.origins()[0] ?? "";
  const { oidc } = settings;
  const routes = createPeopleRoutes({
    credentials,
    sessions,
    clock,
    log: home.store.logId,
    origin,
    personName: (person) => people().get(person)?.name ?? person,
    warn: (fields, message) => home.log.warn(fields, message),
    oidc:
      oidc === null
        ? null
        : createOidcSignIn({
            settings: oidc,
            now: () => clock.now(),
            origin,
            personOf(issuer, subject) {
              for (const { id, disabled, oidc: account } of people().values()) {
                if (!disabled && account?.issuer === issuer && account.subject === subject) return id;
              }
              return null;
            },
          }),
  });
  return { sessions, routes };
}

/** 0600, and whole or not there. */
function sessionFile(path: string) {
  const file = createDurableFile<readonly StoredSession[]>({
    path,
    encode: (sessions) => `${JSON.stringify({ v: 1, sessions })}\n`,
    decode(bytes) {
      try {
        const read = JSON.parse(bytes.toString("utf8")) as { v?: unknown; sessions?: unknown };
        return read.v === 1 && Array.isArray(read.sessions) ? (read.sessions as StoredSession[]) : null;
      } catch {
        // Nobody is signed in then.
        return null;
      }
    },
    whenChanged: "replace",
  });
  return {
    read: () => Promise.resolve(file.read()),
    write: (sessions: readonly StoredSession[]) => Promise.resolve(file.write(sessions)),
  };
}
