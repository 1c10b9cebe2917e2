import { taggedBytes } from "../base/canonical-json.ts";
import type { Timestamp } from "../base/clock.ts";
import type { PersonId } from "../request/principal.ts";

/** What a person signs to change with what another person, or they themselves, can sign. */
export interface CredentialStatement {
  readonly typ: "countersign.credential";
  readonly v: 1;
  readonly log: string;
  /** `invite`: let this person enrol. `add`: this credential is mine too. `remove`: it counts for nothing any more. */
  readonly action: "invite" | "add" | "remove";
  readonly person: PersonId;
  /** Credential id; null for an invitation. */
  readonly credential: string | null;
  /** SubjectPublicKeyInfo of what is added, base64; null otherwise. */
  readonly public_key: string | null;
  /** Of the gateway's making, so that no statement serves twice. */
  readonly nonce: string;
  readonly approver: PersonId;
  readonly issued_at: Timestamp;
}

/** SSHSIG namespace of credential statements: none of them can count as a decision or an adoption. */
export const CREDENTIAL_NAMESPACE = "credential@countersign.dev";

/** The bytes to sign: `countersign.credential.v1\n` and the RFC 8785 text. */
export const credentialBytes = (statement: CredentialStatement): Uint8Array =>
  taggedBytes("countersign.credential.v1", statement);
