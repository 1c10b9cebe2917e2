import { parseTimestamp } from "../base/clock.ts";
import { FRESH_SESSION_MS, type Attest, type Attestation } from "../consent/attest.ts";
import type { Proof } from "../consent/entries.ts";
import { membersOf } from "../consent/people.ts";
import { CountersignError, isFault } from "../errors.ts";
import type { Endorsement } from "../policy/adopted.ts";
import { ADOPTION_NAMESPACE, adoptionBytes } from "../policy/adoption-statement.ts";
import type { AdoptionStatement } from "../policy/entries.ts";
import type { Policy, PolicyChange } from "../policy/policy.ts";
import { meets, type Assurance } from "../policy/verdict.ts";

// Whose statements count towards an adoption: distinct enabled people whom the running policy names, with that proof,
// over exactly what runs and exactly what is proposed (P6).

export type Bound = AdoptionStatement["from"];

export const isSameBound = (a: Bound, b: Bound): boolean =>
  a.policy === b.policy && a.registry === b.registry;

/** A statement that was attested, and whether it counts. */
export interface Signature extends Endorsement {
  readonly person: string;
  readonly assurance: Assurance;
  readonly counts: boolean;
}

export interface SignersParts {
  readonly attest: Attest;
  readonly log: string;
  readonly policy: Policy;
  readonly need: PolicyChange;
  readonly from: Bound;
  readonly to: Bound;
  /** When what runs was adopted, and now; epoch milliseconds. */
  readonly since: number;
  readonly now: number;
}

/** A person may sign this much ahead of our clock. */
const SKEW_MS = 5 * 60_000;

/** @throws CountersignError `SIGNATURE_INVALID` */
export function attestAdoption(
  attest: Attest,
  policy: Policy,
  statement: AdoptionStatement,
  proof: Proof,
): Attestation {
  const signed = {
    bytes: adoptionBytes(statement),
    namespace: ADOPTION_NAMESPACE,
    approver: statement.approver,
  };
  const attested = attest(policy, signed, proof);
  if (attested.ok && attested.value.person === statement.approver) return attested.value;
  throw new CountersignError(
    "SIGNATURE_INVALID",
    `the adoption statement of "${statement.approver}" does not verify`,
    { hint: "sign it with a key that the running policy lists for that person" },
  );
}

/**
 * What one statement is worth.
 * @throws CountersignError `SIGNATURE_INVALID`, `ADOPTION_REFUSED` where it is about other revisions, or of another time
 */
export function signatureOf(parts: SignersParts, { statement, proof, at }: Endorsement): Signature {
  const attested = attestAdoption(parts.attest, parts.policy, statement, proof);
  const fits =
    statement.log === parts.log &&
    isSameBound(statement.from, parts.from) &&
    isSameBound(statement.to, parts.to);
  if (!fits) {
    throw new CountersignError(
      "ADOPTION_REFUSED",
      `the statement of "${statement.approver}" is about other revisions`,
      {
        hint: "the file or the running policy changed since it was signed; sign again: countersign policy adopt",
      },
    );
  }
  // Revisions come back, and old statements stand in the log for everybody: one that was made before what runs came to
  // run was about an earlier change, also where it names the same two revisions.
  const issuedAt = parseTimestamp(statement.issued_at);
  if (!(issuedAt >= parts.since && issuedAt <= parts.now + SKEW_MS)) {
    throw new CountersignError(
      "ADOPTION_REFUSED",
      `the statement of "${statement.approver}" was not made since the running policy was adopted`,
      { hint: "sign again: countersign policy adopt" },
    );
  }
  const assurance = proof.kind === "session" ? sessionWorth(proof.signed_in_at, at) : attested.assurance;
  const { person } = attested;
  const counts = membersOf(parts.policy, parts.need.by).has(person) && meets(assurance, parts.need.assurance);
  return { statement, proof: attested.proof, at, person, assurance, counts };
}

/** Recorded statements that are about this proposal. What does not fit or verify any more is left out, silently. */
export const standingSignatures = (
  parts: SignersParts,
  recorded: readonly Endorsement[],
): readonly Signature[] =>
  recorded.flatMap((one) => {
    try {
      return [signatureOf(parts, one)];
    } catch (error) {
      if (isFault(error, "ADOPTION_REFUSED") || isFault(error, "SIGNATURE_INVALID")) return [];
      throw error;
    }
  });

/** What a session's word was worth when it was recorded: the wait for others does not wear it out. */
function sessionWorth(signedInAt: string, recordedAt: string): Assurance {
  const age = parseTimestamp(recordedAt) - parseTimestamp(signedInAt);
  return age >= 0 && age <= FRESH_SESSION_MS ? "A2" : "A1";
}

/** How many people are missing. */
export const missingOf = (need: PolicyChange, signatures: readonly Signature[]): number =>
  Math.max(0, need.quorum - new Set(signatures.filter((one) => one.counts).map((one) => one.person)).size);
