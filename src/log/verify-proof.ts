import { createHash } from "node:crypto";
import { parseTimestamp } from "../base/clock.ts";
import { verifySshSignature, type SkFacts } from "../base/sshsig.ts";
import { verifyAssertion } from "../base/webauthn.ts";
import type { Proof } from "../consent/entries.ts";
import type { Assurance } from "../policy/verdict.ts";
import type { FindingCode } from "./finding.ts";
import type { PolicyPeople } from "./policy-document.ts";

// What the proof of a statement shows, whatever statement it is of: a decision, or one about credentials. Nothing but
// node:crypto, and the passkeys that entries of the same log enrolled.

/** A passkey as entries enrolled it. */
export interface KnownCredential {
  readonly person: string;
  /** SubjectPublicKeyInfo, base64. */
  readonly publicKey: string;
  readonly algorithm: number;
  readonly rpId: string;
  /** Epoch milliseconds; from then on it shows A3, before it A2. */
  readonly countsFrom: number;
  readonly removed: boolean;
}

/** What the proof of a decision shows. */
export interface ProofFacts {
  /** Of an SSH signature that verifies; null otherwise. */
  readonly fingerprint: string | null;
  readonly keyType: string | null;
  readonly sk: SkFacts | null;
  /** Of a passkey's answer that verifies; null otherwise. */
  readonly passkey: { readonly credential: string; readonly origin: string } | null;
  /** Set where nobody signed: the gateway says that a session of the person made the statement. */
  readonly session: { readonly method: string; readonly signedInAt: string } | null;
}

export type Report = (code: FindingCode, message: string, rule?: string) => void;

/** Clocks of gateway and log are not the same to the millisecond. */
export const CLOCK_SLACK_MS = 5_000;
/** As long as a sign-in shows A2. */
const FRESH_SESSION_MS = 5 * 60_000;

/** What stands in a log may be of a later release, or of nobody's. */
const KINDS: ReadonlySet<string> = new Set<Proof["kind"]>(["sshsig", "webauthn", "session"]);

const NOTHING: ProofFacts = { fingerprint: null, keyType: null, sk: null, passkey: null, session: null };

/** Checks a proof, and says the strongest assurance that it may be recorded with; null where it proves nothing. */
export function checkProof(
  parts: {
    readonly bytes: Uint8Array;
    readonly namespace: string;
    readonly proof: Proof;
    /** Whose it has to be. */
    readonly person: string;
    /** Time of the entry, epoch milliseconds. */
    readonly at: number;
    /** Of the policy that the entry names; null where it is not at hand. */
    readonly people: PolicyPeople | null;
    readonly credentialOf: (id: string) => KnownCredential | null;
  },
  problem: Report,
): { readonly facts: ProofFacts; readonly shows: Assurance | null } {
  const { proof } = parts;
  if (!KINDS.has(proof.kind)) {
    problem("signature_invalid", `a proof of kind "${String(proof.kind)}" is not known to this release`);
    return { facts: NOTHING, shows: null };
  }
  switch (proof.kind) {
    case "sshsig":
      return checkSsh(parts, proof, problem);
    case "webauthn":
      return checkPasskey(parts, proof, problem);
    case "session": {
      const { method, signed_in_at: signedInAt } = proof;
      const passkey = passkeyOf(proof);
      const credential = passkey === null ? null : parts.credentialOf(passkey);
      if (credential !== null && (credential.person !== parts.person || credential.removed)) {
        const whose = credential.removed ? "was removed before" : `belongs to ${credential.person}`;
        problem("wrong_signer", `the passkey that signed the session in ${whose}`, "C2");
      }
      const age = parts.at - parseTimestamp(signedInAt);
      // A session dated in the future, or not at all, is not fresh.
      const isFresh = age >= -CLOCK_SLACK_MS && age <= FRESH_SESSION_MS + CLOCK_SLACK_MS;
      return { facts: { ...NOTHING, session: { method, signedInAt } }, shows: isFresh ? "A2" : "A1" };
    }
  }
}

/** The passkey that a proof rests on: what signed it, or signed the session in; null for none. */
export function passkeyOf(proof: Proof): string | null {
  if (proof.kind === "webauthn") return proof.credential;
  return proof.kind === "session" && proof.method === "passkey" ? proof.subject : null;
}

type Parts = Parameters<typeof checkProof>[0];
type Checked = ReturnType<typeof checkProof>;

function checkSsh(parts: Parts, proof: Extract<Proof, { kind: "sshsig" }>, problem: Report): Checked {
  const { people, person } = parts;
  const checked = verifySshSignature({
    armoured: proof.signature,
    message: parts.bytes,
    namespace: parts.namespace,
  });
  if (!checked.ok) {
    problem("signature_invalid", checked.error.message);
    return { facts: NOTHING, shows: null };
  }
  const { fingerprint, keyType, sk } = checked.value;
  if (proof.fingerprint !== fingerprint) {
    problem("wrong_signer", `${fingerprint} signed, not ${proof.fingerprint}`);
  }
  const owner = people === null ? null : people.ownerOf(fingerprint);
  if (people !== null && owner?.person !== person) {
    const whose = owner === null ? "nobody" : owner.person;
    problem("wrong_signer", `the key ${fingerprint} belongs to ${whose}, not to ${person}`);
  }
  // A3 takes an `sk-` key that was enrolled as verifying its user, and its flags (C3).
  const flags = sk !== null && sk.userPresent && sk.userVerified;
  const isEnrolled = people === null || owner?.userVerified === true;
  return { facts: { ...NOTHING, fingerprint, keyType, sk }, shows: flags && isEnrolled ? "A3" : "A2" };
}

function checkPasskey(parts: Parts, proof: Extract<Proof, { kind: "webauthn" }>, problem: Report): Checked {
  const nothing = { facts: NOTHING, shows: null };
  const credential = parts.credentialOf(proof.credential);
  if (credential === null) {
    problem(
      "credential_unproved",
      `the passkey of ${parts.person} was not enrolled by an entry before`,
      "P6",
    );
    return nothing;
  }
  const checked = verifyAssertion({
    assertion: {
      authenticatorData: proof.authenticator_data,
      clientData: proof.client_data,
      signature: proof.signature,
    },
    key: credential,
    challenge: createHash("sha256").update(parts.bytes).digest(),
    rpId: credential.rpId,
    // Which port it was can't be known here; the page's host is that of the relying party.
    origins: null,
  });
  if (!checked.ok) {
    problem("signature_invalid", checked.error.message);
    return nothing;
  }
  const { userPresent, userVerified, origin } = checked.value;
  if (!userPresent || !userVerified) {
    problem("signature_invalid", "the passkey did not verify who used it");
    return nothing;
  }
  if (credential.person !== parts.person) {
    problem("wrong_signer", `the passkey belongs to ${credential.person}, not to ${parts.person}`);
  }
  if (credential.removed)
    problem("wrong_signer", `the passkey of ${credential.person} was removed before`, "C2");
  // During its cooling period it shows A2 (C3).
  const shows = parts.at >= credential.countsFrom ? "A3" : "A2";
  return { facts: { ...NOTHING, passkey: { credential: proof.credential, origin } }, shows };
}
