import { taggedBytes } from "../base/canonical-json.ts";
import type { AdoptionStatement } from "./entries.ts";

/** SSHSIG namespace of an adoption: a decision's signature can never adopt a policy, nor the reverse. */
export const ADOPTION_NAMESPACE = "adoption@countersign.dev";

/** The bytes to sign: `countersign.adoption.v1\n` and the RFC 8785 text. */
export const adoptionBytes = (statement: AdoptionStatement): Uint8Array =>
  taggedBytes("countersign.adoption.v1", statement);
