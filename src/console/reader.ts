import type { Home } from "../gate/home.ts";
import type { Assurance } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import type { Session, Sessions } from "../transport/http/actor.ts";
import type { Assets } from "./assets.ts";

/** What pages read of a home. They write nothing: what a person does goes through the API. */
export type ConsoleHome = Pick<
  Home,
  "adoption" | "desk" | "requests" | "settings" | "store" | "tools" | "log"
>;

/** A passkey as the people page shows it. */
export interface CredentialLine {
  /** Credential id, base64url. */
  readonly id: string;
  readonly person: PersonId;
  readonly label: string;
  /** Epoch milliseconds. */
  readonly enrolledAt: number;
  /** Epoch milliseconds; before it, the credential shows A2 only. */
  readonly countsFrom: number;
  readonly backedUp: boolean;
}

/** The newest verification of the log that the gateway made by itself. */
export interface Verification {
  readonly state: "ok" | "failed" | "running" | "never";
  readonly size: number;
  /** Epoch milliseconds. */
  readonly at: number;
  /** First findings, in words. */
  readonly findings: readonly string[];
}

export interface ConsoleParts {
  readonly home: ConsoleHome;
  readonly sessions: Sessions & {
    /** Who is signed in as this person, for the people page. */
    list?(person: PersonId): readonly Session[];
  };
  readonly version: string;
  readonly assets: Assets;
  readonly now: () => number;
  /** Enrolled passkeys that stand. Absent: the page says nothing of passkeys. */
  readonly credentials?: () => readonly CredentialLine[];
  readonly verification?: () => Verification | null;
  readonly hasSteward?: () => Promise<boolean>;
  /** Bytes free where the home lives. */
  readonly freeBytes?: () => Promise<number>;
  /** True where people may sign in with the identity provider. */
  readonly oidc?: boolean;
}

/** The person a page is made for. */
export interface Viewer {
  readonly person: PersonId;
  readonly name: string;
  readonly session: Session;
  /** What their passkeys show by now; null where they have none, or nothing is known of passkeys. */
  readonly passkey: Extract<Assurance, "A2" | "A3"> | null;
}

/** Who looks, as the running policy knows them. */
export function viewerOf(parts: ConsoleParts, session: Session): Viewer {
  const own = parts.credentials?.().filter((credential) => credential.person === session.person) ?? [];
  const counts = own.some((credential) => credential.countsFrom <= parts.now());
  const known = parts.credentials !== undefined;
  return {
    person: session.person,
    name: parts.home.adoption.current().people.get(session.person)?.name ?? session.person,
    session,
    passkey: counts || (!known && session.method === "passkey") ? "A3" : own.length > 0 ? "A2" : null,
  };
}
