import { canonicalBytes } from "../base/canonical-json.ts";
import type { AdoptionStatement } from "./entries.ts";

/** SSHSIG namespace of an adoption: a decision's signature can never adopt a policy, nor the reverse. */
export const ADOPTION_NAMESPACE = "adoption@countersign.dev";

const DOMAIN = new TextEncoder().encode("countersign.adoption.v1\n");

/** The bytes to sign: `countersign.adoption.v1\n` and the RFC 8785 text. */
export function adoptionBytes(statement: AdoptionStatement): Uint8Array {
  const body = canonicalBytes(statement);
  const bytes = new Uint8Array(DOMAIN.length + body.length);
  bytes.set(DOMAIN);
  bytes.set(body, DOMAIN.length);
  return bytes;
}
