import type { Digest } from "../base/digest.ts";
import type { Proof } from "../consent/entries.ts";
import type { BlobRef } from "../request/action-request.ts";
import type { PersonId } from "../request/principal.ts";

/** What a person signs to adopt a policy: it binds the old and the new revision. */
export interface AdoptionStatement {
  readonly typ: "countersign.adoption";
  readonly v: 1;
  readonly log: string;
  readonly from: { readonly policy: Digest; readonly registry: Digest };
  readonly to: { readonly policy: Digest; readonly registry: Digest };
  readonly approver: PersonId;
  readonly issued_at: string;
}

/** Entries whose subject is `policy`. */
export interface PolicyEntries {
  "policy.adopted": {
    readonly revision: Digest;
    /** Digest of the registrations (services, upstreams) adopted with it. */
    readonly registry: Digest;
    readonly from: { readonly policy: Digest; readonly registry: Digest } | null;
    readonly mode: "first" | "on_save" | "signed";
    /** Record: the text of policy.yaml, byte for byte. */
    readonly text: BlobRef;
    /** Record: the resolved registrations, RFC 8785 text. */
    readonly registrations: BlobRef;
    readonly statements: readonly { readonly statement: AdoptionStatement; readonly proof: Proof }[];
  };
  /** One person's statement for a proposal that needs several; it counts while the proposal and the policy stand. */
  "policy.endorsed": { readonly statement: AdoptionStatement; readonly proof: Proof };
  /** A file that differs from the adopted revision was seen: invalid, or waiting to be adopted. Once per content. */
  "policy.proposed": {
    readonly content: string;
    readonly revision: Digest | null;
    readonly errors: readonly string[];
  };
}
