import type { Assurance } from "../policy/verdict.ts";

/** What a verified SSH signature shows about the person behind it. */
export interface SignatureFacts {
  /** `SHA256:…` of the public key that signed. */
  readonly fingerprint: string;
  /** Set for `sk-` keys: the flags byte of the signature, which verifying alone does not check. */
  readonly sk: { readonly userPresent: boolean; readonly userVerified: boolean } | null;
}

/**
 * A3 takes user presence and user verification, from a key that an admin enrolled as one that verifies its user:
 * software can make an `sk-` signature with any flags, so the flags alone prove nothing. Everything else is a
 * software key over the statement: A2.
 */
export function assuranceOf(facts: SignatureFacts, enrolledAsUserVerified: boolean): Assurance {
  const shown = facts.sk !== null && facts.sk.userPresent && facts.sk.userVerified;
  return shown && enrolledAsUserVerified ? "A3" : "A2";
}
