import { parseTimestamp } from "../base/clock.ts";
import { err, ok, type Result } from "../base/result.ts";
import { CountersignError } from "../errors.ts";
import type { Policy } from "../policy/policy.ts";
import type { Assurance } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import { assuranceOf, type SignatureFacts } from "./assurance.ts";
import type { Proof } from "./entries.ts";
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
      case "session": {
        const person = policy.people.get(signed.approver);
        if (person === undefined || person.disabled) return err("unknown_signer");
        const age = parts.now() - parseTimestamp(proof.signed_in_at);
        const isFresh = age >= 0 && age <= FRESH_SESSION_MS;
        return ok({ person: person.id, assurance: isFresh ? "A2" : "A1", proof });
      }
      case "webauthn":
        throw new CountersignError("SIGNATURE_INVALID", "no such passkey is enrolled", {
          hint: "enrol one first: countersign people invite <person>",
        });
    }
  };
}
