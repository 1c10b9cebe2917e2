import { createHash } from "node:crypto";
import { timestamp, type Clock } from "../../base/clock.ts";
import type { CredentialDesk, PersonCredentials } from "../../consent/credential-desk.ts";
import {
  CREDENTIAL_NAMESPACE,
  credentialBytes,
  type CredentialStatement,
} from "../../consent/credential-statement.ts";
import type { Credential } from "../../consent/credentials.ts";
import type { PersonId } from "../../request/principal.ts";
import type { Session } from "./actor.ts";

// What the people routes give out.

/** A statement with what a key, or a passkey, is to sign. */
export function signThis(statement: CredentialStatement) {
  const bytes = credentialBytes(statement);
  return {
    statement,
    sign: {
      namespace: CREDENTIAL_NAMESPACE,
      bytes: Buffer.from(bytes).toString("base64"),
      challenge: createHash("sha256").update(bytes).digest("base64url"),
    },
  };
}

export const credentialDocument = (credential: Credential, now: number) => ({
  id: credential.id,
  person: credential.person,
  label: credential.label,
  aaguid: credential.aaguid,
  backup_eligible: credential.backupEligible,
  enrolled_at: timestamp(credential.enrolledAt),
  counts_from: timestamp(credential.countsFrom),
  shows: now >= credential.countsFrom ? "A3" : "A2",
});

export const personDocument = (person: PersonCredentials) => ({
  person: person.person,
  name: person.name,
  disabled: person.disabled,
  strongest: person.strongest,
  ssh_keys: person.sshKeys,
  oidc: person.oidc,
  invited_until: person.invitedUntil === null ? null : timestamp(person.invitedUntil),
  endorsements: person.endorsements,
  credentials: person.credentials.map((credential) => ({
    id: credential.id,
    label: credential.label,
    enrolled_at: timestamp(credential.enrolledAt),
    counts_from: timestamp(credential.countsFrom),
    backup_eligible: credential.backupEligible,
  })),
});

/** So long after it came a passkey is shown to its person as new. */
const NEWS_MS = 7 * 86_400_000;

/** Who is signed in, and what they should know: passkeys that came lately, so that a strange one is noticed. */
export function sessionDocument(
  session: Session,
  parts: { readonly clock: Clock; personName(person: PersonId): string },
  credentials: Pick<CredentialDesk, "ofPerson">,
) {
  const now = parts.clock.now();
  return {
    id: session.id,
    person: session.person,
    name: parts.personName(session.person),
    method: session.method,
    signed_in_at: timestamp(session.signedInAt),
    expires_at: timestamp(session.expiresAt),
    csrf: session.csrf,
    notices: credentials
      .ofPerson(session.person)
      .filter(({ enrolledAt }) => enrolledAt > now - NEWS_MS)
      .map((credential) => ({ kind: "passkey_enrolled", ...credentialDocument(credential, now) })),
  };
}
