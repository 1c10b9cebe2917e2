import { createHash, createPublicKey } from "node:crypto";
import { COSE_ALGORITHMS, counterOf, fromBase64url, verifyAssertion } from "../../base/webauthn.ts";
import type { CredentialDesk, NewCredential, RelyingParty } from "../../consent/credential-desk.ts";
import type { Credential } from "../../consent/credentials.ts";
import { CountersignError } from "../../errors.ts";
import type { PersonId } from "../../request/principal.ts";
import { CHALLENGE_LIFE_MS } from "./challenges.ts";

// The ceremonies with an authenticator (WebAuthn L3 §7.1, §7.2). Registrations are read by @simplewebauthn/server, which
// is loaded when the first one comes; answers to challenges are checked by our own code, as decisions are.

/** What a browser sends back from `navigator.credentials.get`, as far as it is read. */
export interface AssertionResponse {
  readonly id: string;
  readonly response: {
    readonly authenticatorData: string;
    readonly clientDataJSON: string;
    readonly signature: string;
    readonly userHandle?: string | undefined;
  };
}

const refused = (message: string, cause?: unknown): CountersignError =>
  new CountersignError("SIGN_IN_REFUSED", message, { hint: "start again from the sign-in page", cause });

/** The handle under which an authenticator keeps a person's passkey: it names nobody by itself. */
export const userHandle = (log: string, person: PersonId): Uint8Array<ArrayBuffer> =>
  new Uint8Array(createHash("sha256").update(`countersign.user.v1\n${log}\n${person}`).digest());

/** Options of a sign-in with whichever passkey the person picks. Nothing in them names anybody. */
export const signInOptions = (rp: RelyingParty, challenge: Uint8Array) => ({
  challenge: Buffer.from(challenge).toString("base64url"),
  rpId: rp.id,
  allowCredentials: [],
  userVerification: "required",
  timeout: CHALLENGE_LIFE_MS,
});

/** The challenge that a response claims to answer; null where it can't be read. */
export function challengeOf(clientData: string): string | null {
  try {
    const { challenge } = JSON.parse(fromBase64url(clientData)?.toString("utf8") ?? "") as {
      challenge?: unknown;
    };
    return typeof challenge === "string" ? challenge : null;
  } catch {
    return null;
  }
}

/**
 * Whose passkey answered. `counters` remembers answers that no entry holds.
 * @throws CountersignError `SIGN_IN_REFUSED`
 */
export function verifySignIn(parts: {
  readonly credentials: Pick<CredentialDesk, "find" | "rp">;
  readonly log: string;
  readonly given: AssertionResponse;
  readonly challenge: Uint8Array;
  readonly counters: Map<string, number>;
}): Credential {
  const { credentials, given, counters } = parts;
  const credential = credentials.find(given.id);
  if (credential === null) throw refused("this passkey is not enrolled here, or was removed");
  const { authenticatorData, clientDataJSON: clientData, signature, userHandle: handle } = given.response;
  const checked = verifyAssertion({
    assertion: { authenticatorData, clientData, signature },
    key: credential,
    challenge: parts.challenge,
    rpId: credential.rpId,
    origins: credentials.rp.origins(),
  });
  if (!checked.ok) throw refused(checked.error.message);
  const { userPresent, userVerified } = checked.value;
  if (!userPresent || !userVerified) throw refused("the passkey did not verify who used it");
  const expected = Buffer.from(userHandle(parts.log, credential.person)).toString("base64url");
  if (handle !== undefined && handle !== expected) throw refused("the passkey is another person's");
  const seen = Math.max(credential.counter, counters.get(credential.id) ?? 0);
  const counter = counterOf(authenticatorData);
  if ((counter !== 0 || seen !== 0) && counter <= seen) {
    throw refused("the passkey's counter went back: it may have been copied");
  }
  counters.set(credential.id, counter);
  return credential;
}

/** Options of a registration, for an authenticator that verifies its user and keeps the passkey itself. */
export async function registrationOptions(parts: {
  readonly rp: RelyingParty;
  readonly log: string;
  readonly person: { readonly id: PersonId; readonly name: string };
  readonly existing: readonly Credential[];
  readonly challenge: Uint8Array<ArrayBuffer>;
}) {
  const { generateRegistrationOptions } = await import("@simplewebauthn/server");
  return generateRegistrationOptions({
    rpName: parts.rp.name,
    rpID: parts.rp.id,
    userName: parts.person.id,
    userDisplayName: parts.person.name,
    userID: userHandle(parts.log, parts.person.id),
    // Bytes: a string would be taken for text and encoded once more.
    challenge: parts.challenge,
    timeout: CHALLENGE_LIFE_MS,
    attestationType: "none",
    excludeCredentials: parts.existing.map(({ id }) => ({ id })),
    authenticatorSelection: { residentKey: "required", userVerification: "required" },
    supportedAlgorithmIDs: Object.values(COSE_ALGORITHMS),
  });
}

/**
 * The passkey that an authenticator registered.
 * @throws CountersignError `CREDENTIAL_REFUSED`
 */
export async function verifyRegistration(parts: {
  readonly rp: RelyingParty;
  readonly response: unknown;
  readonly challenge: string;
}): Promise<NewCredential> {
  const { verifyRegistrationResponse } = await import("@simplewebauthn/server");
  const { decodeCredentialPublicKey } = await import("@simplewebauthn/server/helpers");
  const not = (message: string, cause?: unknown): CountersignError =>
    new CountersignError("CREDENTIAL_REFUSED", `the authenticator's answer was not accepted: ${message}`, {
      hint: "open the page again and repeat it; if it fails again, try another authenticator",
      cause,
    });
  try {
    const verified = await verifyRegistrationResponse({
      response: parts.response as Parameters<typeof verifyRegistrationResponse>[0]["response"],
      expectedChallenge: parts.challenge,
      expectedOrigin: [...parts.rp.origins()],
      expectedRPID: parts.rp.id,
      requireUserPresence: true,
      requireUserVerification: true,
      supportedAlgorithmIDs: Object.values(COSE_ALGORITHMS),
    });
    if (!verified.verified) throw not("it does not verify");
    const { credential, aaguid, credentialDeviceType, userVerified } = verified.registrationInfo;
    return {
      id: credential.id,
      ...keyOf(decodeCredentialPublicKey(credential.publicKey)),
      rpId: parts.rp.id,
      aaguid: aaguid.toLowerCase(),
      backupEligible: credentialDeviceType === "multiDevice",
      userVerified,
    };
  } catch (error) {
    if (error instanceof CountersignError) throw error;
    const words = error instanceof Error ? error.message.split("\n")[0] : "";
    throw not(/^[\x20-\x7e]{1,200}$/.test(words ?? "") ? (words ?? "") : "it can't be read", error);
  }
}

// COSE key parameters (RFC 9053): 3 the algorithm; EC2 and OKP -2 x, -3 y; RSA -1 n, -2 e.
function keyOf(cose: { get(key: number): unknown }): Pick<NewCredential, "publicKey" | "algorithm"> {
  const text = (key: number): string => Buffer.from(cose.get(key) as Uint8Array).toString("base64url");
  const algorithm = cose.get(3) as number;
  const jwk =
    algorithm === COSE_ALGORITHMS.ES256
      ? { kty: "EC", crv: "P-256", x: text(-2), y: text(-3) }
      : algorithm === COSE_ALGORITHMS.EdDSA
        ? { kty: "OKP", crv: "Ed25519", x: text(-2) }
        : { kty: "RSA", n: text(-1), e: text(-2) };
  const key = createPublicKey({ key: jwk, format: "jwk" });
  return { publicKey: key.export({ format: "der", type: "spki" }).toString("base64"), algorithm };
}
