import { parseTimestamp } from "../base/clock.ts";
import { isUsableKey } from "../base/webauthn.ts";
import { CountersignError } from "../errors.ts";
import type { Policy, PolicyChange } from "../policy/policy.ts";
import type { Assurance } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import type { NewCredential } from "./credential-desk.ts";
import type { CredentialStatement } from "./credential-statement.ts";
import { standingOf, STATEMENT_LIFE_MS, type CredentialsState } from "./credentials.ts";

// What holds of every statement about credentials and of every new passkey. Pure.

/** A person may answer this much ahead of our clock. */
const SKEW_MS = 5 * 60_000;

/** Most passkeys that one person may have. */
const MOST_CREDENTIALS = 20;

export const credentialRefused = (message: string, hint: string): CountersignError =>
  new CountersignError("CREDENTIAL_REFUSED", message, { hint });

/** One answer for every code that can't be redeemed: whoever guesses learns nothing. */
export const invitationInvalid = (): CountersignError =>
  new CountersignError("INVITATION_INVALID", "this code is wrong, used, replaced or expired", {
    hint: "ask for a new one: countersign people invite <person>",
  });

/** @throws CountersignError `CREDENTIAL_REFUSED` for a person who can't be given a passkey */
export function demandPerson(policy: Policy, person: PersonId): void {
  const known = policy.people.get(person);
  if (known === undefined) {
    throw credentialRefused(
      `the running policy names no person "${person}"`,
      "see who there is: countersign people list",
    );
  }
  if (known.disabled)
    throw credentialRefused(`"${person}" is disabled`, "enable the person in policy.yaml and adopt it");
}

/** @throws CountersignError `CREDENTIAL_REFUSED` where the running policy names nobody who may */
export function demandChangers(policy: Policy): PolicyChange {
  if (policy.policyChange !== null) return policy.policyChange;
  throw credentialRefused(
    "the running policy names nobody under policy_change",
    policy.adopt === "on_save"
      ? "invite on the gateway's own machine: countersign people invite <person>"
      : "it was adopted without one; start a new home with: countersign init",
  );
}

/** @throws CountersignError `CREDENTIAL_REFUSED` unless whoever may write the files may change credentials too */
export function demandOnSave(policy: Policy): void {
  if (policy.adopt === "on_save") return;
  const { by, quorum, assurance } = demandChangers(policy);
  throw credentialRefused(
    `it needs the signature of ${quorum} of [${by.join(", ")}] with ${assurance} or better`,
    "sign it: countersign people invite <person>, or on the people page",
  );
}

/** @throws CountersignError `CREDENTIAL_REFUSED` for a statement of another log, too old, dated ahead, or not drafted here */
export function checkStatement(
  statement: CredentialStatement,
  about: { readonly log: string; readonly now: number; readonly isOurs: boolean; readonly isUsed: boolean },
): void {
  const issued = parseTimestamp(statement.issued_at);
  const again = "take a fresh statement from the gateway and sign that";
  if (statement.log !== about.log) throw credentialRefused("the statement is about another log", again);
  if (!(issued <= about.now + SKEW_MS))
    throw credentialRefused("the statement is dated in the future", again);
  if (issued < about.now - STATEMENT_LIFE_MS) throw credentialRefused("the statement is too old", again);
  if (!about.isOurs) throw credentialRefused("the statement was not drafted by this gateway", again);
  if (about.isUsed) throw credentialRefused("the statement was used before", again);
}

/** @throws CountersignError `CREDENTIAL_REFUSED` for a passkey that may not be enrolled */
export function checkNewCredential(
  state: CredentialsState,
  person: PersonId,
  credential: NewCredential,
  allowed: { readonly rpId: string; readonly denyAaguids: readonly string[] },
): void {
  const known = state.byId.get(credential.id);
  if (known !== undefined) {
    throw credentialRefused(
      known.removed === null
        ? "this passkey is enrolled already"
        : "this passkey was removed and stays removed",
      "use another device or security key",
    );
  }
  if (credential.rpId !== allowed.rpId) {
    throw credentialRefused(
      `the passkey belongs to ${credential.rpId}, not to ${allowed.rpId}`,
      "open the gateway's own page",
    );
  }
  if (allowed.denyAaguids.includes(credential.aaguid.toLowerCase())) {
    throw credentialRefused(
      `authenticators of the model ${credential.aaguid} may not be enrolled here`,
      "use your phone, this computer's own or a security key; a browser's virtual one is for tests, which set passkeys.deny_aaguids: [] in countersign.yaml",
    );
  }
  if (!credential.userVerified) {
    throw credentialRefused(
      "the authenticator did not verify who used it",
      "use one that asks for a PIN, a fingerprint or a face",
    );
  }
  if (!isUsableKey(credential)) {
    throw credentialRefused("the passkey's key is not ES256, Ed25519 or RS256", "use another authenticator");
  }
  if (credential.id.length > 1_400)
    throw credentialRefused("the credential id is too long", "use another authenticator");
  if (standingOf(state, person).length >= MOST_CREDENTIALS) {
    throw credentialRefused(
      `"${person}" has ${MOST_CREDENTIALS} passkeys`,
      "remove one first: countersign people remove-credential <id>",
    );
  }
}

/** The strongest proof that the person could give at `at`; null: none at all. */
export function strongestProofOf(
  policy: Policy,
  state: CredentialsState,
  person: PersonId,
  at: number,
  signInByProvider: boolean,
): Assurance | null {
  const known = policy.people.get(person);
  if (known === undefined || known.disabled) return null;
  const passkeys = standingOf(state, person);
  if (known.ssh.some((key) => key.userVerified) || passkeys.some(({ countsFrom }) => countsFrom <= at))
    return "A3";
  return known.ssh.length > 0 || passkeys.length > 0 || (signInByProvider && known.oidc !== null)
    ? "A2"
    : null;
}

/** A label as it is kept: short, one line. */
export function cleanLabel(label: string): string {
  const cleaned = label.replace(/[\p{C}\p{Z}]+/gu, " ").trim();
  return cleaned === "" ? "passkey" : [...cleaned].slice(0, 60).join("");
}
