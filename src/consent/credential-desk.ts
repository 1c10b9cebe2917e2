import type { PersonId } from "../request/principal.ts";
import type { Assurance } from "../policy/verdict.ts";
import type { Credential, SignedCredential } from "./credentials.ts";
import type { CredentialStatement } from "./credential-statement.ts";

// People's passkeys: who may enrol, what was enrolled, what counts.
//
//   E1. Nobody is invited but by what `policy_change` of the running policy demands, over signatures: one admin alone
//       can't make a second person of himself where two are needed (P6). Where the policy adopts on save, whoever may
//       write the files may invite, from the command line only.
//   E2. A code is redeemed once, within its time, by the newest invitation of its person, while those who vouched for
//       it may still do so. A few wrong tries that begin like it end it.
//   E3. A person adds a passkey with one that counts already, or with an SSH key that verifies its user. A session, or a
//       software key, is not enough.
//   E4. A new passkey shows A2 until its cooling period is over. Only the very first of a log is spared it: nobody else
//       could have been deceived, and there is nothing yet that it could approve beside.
//   E5. Removing is cheap, because it fails safe: with any proof of one's own, or by one person of `policy_change`.
//   E6. Every change is an entry before it has an effect, and is announced.

/** A passkey that was registered with an authenticator and verified, before anyone vouched for whose it is. */
export interface NewCredential {
  /** Base64url. */
  readonly id: string;
  /** SubjectPublicKeyInfo, base64. */
  readonly publicKey: string;
  readonly algorithm: number;
  readonly rpId: string;
  /** Lower-case UUID. */
  readonly aaguid: string;
  readonly backupEligible: boolean;
  /** Whether the authenticator verified its user at registration. */
  readonly userVerified: boolean;
}

export type InvitationAnswer =
  /** More people have to sign. */
  | { readonly state: "endorsed"; readonly have: number; readonly need: number }
  | {
      readonly state: "invited";
      readonly person: PersonId;
      /** Shown once; the log holds a digest. */
      readonly code: string;
      /** Epoch milliseconds. */
      readonly expiresAt: number;
    };

/** A person with what they can prove. */
export interface PersonCredentials {
  readonly person: PersonId;
  readonly name: string;
  readonly disabled: boolean;
  /** Oldest first; removed ones are left out. */
  readonly credentials: readonly Credential[];
  readonly sshKeys: number;
  readonly oidc: boolean;
  /** The strongest proof they could give now; null: none at all. */
  readonly strongest: Assurance | null;
  /** An invitation that can still be redeemed. Epoch milliseconds. */
  readonly invitedUntil: number | null;
  /** Statements that wait for more: how many there are. */
  readonly endorsements: number;
}

/** Something that happened to a person's credentials; people are told over every channel there is (E6). */
export interface CredentialEvent {
  readonly kind: "invited" | "enrolled" | "removed";
  readonly person: PersonId;
  /** Credential id; null for an invitation. */
  readonly credential: string | null;
  readonly label: string | null;
  readonly seq: number;
  readonly at: string;
}

/** The relying party of this home. */
export interface RelyingParty {
  readonly id: string;
  readonly name: string;
  /** Origins whose pages may ask. */
  origins(): readonly string[];
}

export interface CredentialDesk {
  readonly rp: RelyingParty;
  /** Everyone the running policy names. */
  people(): readonly PersonCredentials[];
  /** A passkey that stands; null for an unknown or removed one. */
  find(id: string): Credential | null;
  ofPerson(person: PersonId): readonly Credential[];
  /** Sequence numbers of the entries that show how a passkey came to its person, and its end: for receipts. */
  entriesOf(id: string): readonly number[];
  /** The strongest proof the person could give at `at` (epoch ms): keys, passkeys that count by then, sign-in. */
  strongest(person: PersonId, at: number): Assurance | null;
  /** What invitations need; null: nothing, where the policy adopts on save. */
  needs(): { readonly by: readonly string[]; readonly quorum: number; readonly assurance: Assurance } | null;
  /** The statement that `approver` would sign. Statements of several people towards one thing share a nonce. */
  draft(about: {
    readonly action: CredentialStatement["action"];
    readonly person: PersonId;
    readonly approver: PersonId;
    readonly credential?: string;
    readonly publicKey?: string;
  }): Promise<CredentialStatement>;
  /** @throws CountersignError `CREDENTIAL_REFUSED`, `SIGNATURE_INVALID` */
  invite(signed: SignedCredential): Promise<InvitationAnswer>;
  /**
   * Invites where the policy adopts on save. For the command line of the gateway's own account.
   * @throws CountersignError `CREDENTIAL_REFUSED`
   */
  inviteOnSave(person: PersonId): Promise<InvitationAnswer & { readonly state: "invited" }>;
  /**
   * Whose code this is, while it can be redeemed. A wrong secret that begins like the right one counts as a try.
   * @throws CountersignError `INVITATION_INVALID`, the same whatever is wrong
   */
  checkCode(code: string): Promise<PersonId>;
  /** @throws CountersignError `INVITATION_INVALID`, `CREDENTIAL_REFUSED` */
  redeem(code: string, credential: NewCredential, label: string): Promise<Credential>;
  /** Adds a passkey that its own person vouches for (E3). @throws CountersignError `CREDENTIAL_REFUSED` */
  add(credential: NewCredential, label: string, signed: SignedCredential): Promise<Credential>;
  /** @throws CountersignError `CREDENTIAL_REFUSED` */
  remove(signed: SignedCredential, why: string): Promise<void>;
  /** Removes where the policy adopts on save. For the command line of the gateway's own account. */
  removeOnSave(id: string, why: string): Promise<void>;
  /** Called with what happened, once it is durable, also in other processes. Returns the way to stop. */
  follow(listener: (event: CredentialEvent) => void): () => void;
  /** The gateway listens at this origin; it may ask passkeys unless the configuration names origins. */
  serveAt(origin: string): void;
}
