import { createHash } from "node:crypto";
import { parseTimestamp } from "../base/clock.ts";
import { err, ok, type Result } from "../base/result.ts";
import { verifyAssertion } from "../base/webauthn.ts";
import { CountersignError } from "../errors.ts";
import type { Person, Policy } from "../policy/policy.ts";
import type { Assurance } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import { assuranceOf, type SignatureFacts } from "./assurance.ts";
import { counterWentBack, type Credential } from "./credentials.ts";
import type { Proof, SessionProof, WebauthnProof } from "./entries.ts";
import { personOfKey } from "./people.ts";

// Who made a statement, and what the proof shows. One place for every kind of statement and every kind of proof, so
// that no channel is weaker than another: decisions, adoptions, credentials, settlements.

/** A login this old shows A2 no more (design §5). */
export const FRESH_SESSION_MS = 5 * 60_000;

/** The statement that was signed, as far as attesting needs it. */
export interface Signed {
  readonly bytes: Uint8Array;
  /** SSHSIG namespace of its type. */
  readonly namespace: string;
  /** Whom the statement names. */
  readonly approver: PersonId;
}

export interface Attestation {
  /** The person whose key, credential or session it is. */
  readonly person: PersonId;
  readonly assurance: Assurance;
  /** The proof as it is recorded. */
  readonly proof: Proof;
}

/**
 * Reads a proof against the people of a policy.
 * @throws CountersignError `SIGNATURE_INVALID` where the proof does not verify over the statement
 */
export type Attest = (policy: Policy, signed: Signed, proof: Proof) => Result<Attestation, "unknown_signer">;

export interface AttestParts {
  now(): number;
  /** Null where the signature does not verify over these bytes in this namespace. */
  verifySignature(armoured: string, message: Uint8Array, namespace: string): SignatureFacts | null;
  /** A passkey that was enrolled, a removed one included. */
  credential(id: string): Credential | null;
  /** Origins of our own pages: the only ones that may ask a passkey (W2). */
  origins(): readonly string[];
}

export function createAttest(parts: AttestParts): Attest {
  return (policy, signed, proof) => {
    switch (proof.kind) {
      case "sshsig": {
        const facts = parts.verifySignature(proof.signature, signed.bytes, signed.namespace);
        if (facts === null) {
          throw new CountersignError(
            "SIGNATURE_INVALID",
            "the signature does not verify over this statement",
            {
              hint: `sign the exact statement bytes: ssh-keygen -Y sign -n ${signed.namespace}`,
            },
          );
        }
        const owner = personOfKey(policy, facts.fingerprint);
        if (owner === null) return err("unknown_signer");
        return ok({
          person: owner.person.id,
          assurance: assuranceOf(facts, owner.userVerified),
          proof: { ...proof, fingerprint: facts.fingerprint },
        });
      }
      case "session":
        return attestSession(parts, policy, signed, proof);
      case "webauthn":
        return attestPasskey(parts, policy, signed, proof);
    }
  };
}

// Nobody signed anything: the gateway saw a session. It ends with what it rests on.
function attestSession(
  parts: AttestParts,
  policy: Policy,
  signed: Signed,
  proof: SessionProof,
): ReturnType<Attest> {
  const person = policy.people.get(signed.approver);
  if (person === undefined || person.disabled) return err("unknown_signer");
  if (!sessionStands(person, proof, parts.credential)) return err("unknown_signer");
  const age = parts.now() - parseTimestamp(proof.signed_in_at);
  const isFresh = age >= 0 && age <= FRESH_SESSION_MS;
  return ok({ person: person.id, assurance: isFresh ? "A2" : "A1", proof });
}

/** True while the person still has the passkey, or the account at the identity provider, that signed the session in. */
export function sessionStands(
  person: Person,
  { method, subject }: Pick<SessionProof, "method" | "subject">,
  credentialOf: AttestParts["credential"],
): boolean {
  if (method === "oidc") {
    return person.oidc !== null && `${person.oidc.issuer} ${person.oidc.subject}` === subject;
  }
  const credential = credentialOf(subject);
  return credential !== null && credential.removed === null && credential.person === person.id;
}

// A3 takes presence and verification over exactly these bytes, from a passkey whose cooling period is over (C3). One
// that did not verify its user proves less than the page asked for, so it is refused and not merely worth less.
function attestPasskey(
  parts: AttestParts,
  policy: Policy,
  signed: Signed,
  proof: WebauthnProof,
): ReturnType<Attest> {
  const credential = parts.credential(proof.credential);
  if (credential === null) {
    throw refused("no such passkey is enrolled", "enrol one first: countersign people invite <person>");
  }
  if (credential.removed !== null) {
    throw refused("this passkey was removed", "sign with another one; see: countersign people list");
  }
  const checked = verifyAssertion({
    assertion: {
      authenticatorData: proof.authenticator_data,
      clientData: proof.client_data,
      signature: proof.signature,
    },
    key: credential,
    challenge: createHash("sha256").update(signed.bytes).digest(),
    rpId: credential.rpId,
    origins: parts.origins(),
  });
  if (!checked.ok) throw refused(checked.error.message, "open the page again and sign what it shows");
  if (!checked.value.userPresent || !checked.value.userVerified) {
    throw refused(
      "the passkey did not verify who used it",
      "sign with a passkey that asks for a PIN, a fingerprint or a face",
    );
  }
  if (counterWentBack(credential, proof)) {
    throw refused(
      "the passkey's counter went back: it may have been copied, or this answer is an old one",
      "sign again; if it happens again, remove the passkey: countersign people remove-credential <id>",
    );
  }
  const person = policy.people.get(credential.person);
  if (person === undefined || person.disabled) return err("unknown_signer");
  return ok({ person: person.id, assurance: parts.now() >= credential.countsFrom ? "A3" : "A2", proof });
}

const refused = (message: string, hint: string): CountersignError =>
  new CountersignError("SIGNATURE_INVALID", message, { hint });
