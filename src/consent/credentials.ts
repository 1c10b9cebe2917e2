import { createHash } from "node:crypto";
import { parseTimestamp } from "../base/clock.ts";
import { counterOf } from "../base/webauthn.ts";
import type { Digest } from "../base/digest.ts";
import type { Entry } from "../log/entry.ts";
import type { Reducer } from "../log/fold.ts";
import type { PersonId } from "../request/principal.ts";
import type { Batch } from "../store/store.ts";
import type { CredentialStatement } from "./credential-statement.ts";
import type { AccountProof, CredentialEntries, Proof, WebauthnProof } from "./entries.ts";

// What the log says of people's passkeys: which are enrolled, which count, which were removed, who may enrol.

/** A passkey as the fold keeps it; a removed one stays, so that its id can never be enrolled again. */
export interface Credential {
  readonly id: string;
  readonly person: PersonId;
  readonly label: string;
  /** SubjectPublicKeyInfo, base64. */
  readonly publicKey: string;
  readonly algorithm: number;
  readonly rpId: string;
  readonly aaguid: string;
  readonly backupEligible: boolean;
  /** Epoch milliseconds. From then on it counts for A3; before it, for A2. */
  readonly countsFrom: number;
  readonly enrolledAt: number;
  /** Entry that enrolled it. */
  readonly seq: number;
  /** What vouched for it: the entry of the invitation, or the passkey that signed; null for a person's SSH key. */
  readonly by: { readonly invitation: number } | { readonly credential: string } | null;
  removed: { readonly at: number; readonly seq: number; readonly why: string } | null;
  /** Highest signature counter on record. */
  counter: number;
  /** Digests of the newest signatures on record: those may be read again, though the counter has gone on. */
  readonly recorded: string[];
}

/** Leave to enrol, until used, replaced or over. */
export interface Invitation {
  readonly person: PersonId;
  readonly codeDigest: Digest;
  /** Epoch milliseconds. */
  readonly expiresAt: number;
  readonly mode: "signed" | "on_save";
  /** What vouches for it; read again when it is redeemed. */
  readonly statements: readonly SignedCredential[];
  readonly seq: number;
  used: boolean;
}

export interface SignedCredential {
  readonly statement: CredentialStatement;
  readonly proof: Proof;
}

export interface CredentialsState {
  readonly byId: Map<string, Credential>;
  /** The newest of each person; older codes are dead. */
  readonly invitations: Map<PersonId, Invitation>;
  /** Statements that wait for others of the same nonce (P6). */
  readonly endorsements: Map<string, SignedCredential[]>;
  /** Newest entry of each subject. */
  readonly newest: Map<string, number>;
  /** Passkeys that signed an invitation, by its entry. */
  readonly invitationVouchers: Map<number, readonly string[]>;
}

/** How long a statement about credentials can be handed in, and counts towards others of its nonce. */
export const STATEMENT_LIFE_MS = 24 * 3_600_000;

const MOST_RECORDED = 256;

// A subject is at most 64 characters; ids of credentials and people may be longer. `~` stands in no person's id.
const shortened = (text: string): string => createHash("sha256").update(text).digest("base64url");

/** Subject of a credential's entries. */
export const credentialSubject = (id: string): string => `credential:${shortened(id)}`;

/** Subject of entries about a person who may have no credential yet. */
export const personSubject = (person: PersonId): string =>
  `person:${person.length <= 50 ? person : `~${shortened(person)}`}`;

export const credentialsReducer: Reducer<CredentialsState> = {
  init: () => ({
    byId: new Map(),
    invitations: new Map(),
    endorsements: new Map(),
    newest: new Map(),
    invitationVouchers: new Map(),
  }),

  apply(state, entry) {
    for (const proof of proofsIn(entry.data)) recordProof(state, proof);
    switch (entry.kind) {
      case "credential.endorsed": {
        const { statement } = entry.data;
        forgetOld(state, parseTimestamp(entry.time));
        state.endorsements.set(statement.nonce, [
          ...(state.endorsements.get(statement.nonce) ?? []),
          entry.data,
        ]);
        break;
      }
      case "credential.invited": {
        const { person, code_digest: codeDigest, expires_at, mode, statements } = entry.data;
        for (const { statement } of statements) state.endorsements.delete(statement.nonce);
        const vouchers = statements.flatMap(({ proof }) =>
          proof.kind === "webauthn" ? [proof.credential] : [],
        );
        if (vouchers.length > 0) state.invitationVouchers.set(entry.seq, vouchers);
        state.invitations.set(person, {
          person,
          codeDigest,
          expiresAt: parseTimestamp(expires_at),
          mode,
          statements,
          seq: entry.seq,
          used: false,
        });
        break;
      }
      case "credential.enrolled":
        enrol(state, entry);
        break;
      case "credential.removed": {
        const credential = state.byId.get(entry.data.credential);
        if (credential !== undefined) {
          credential.removed = { at: parseTimestamp(entry.time), seq: entry.seq, why: entry.data.why };
        }
        break;
      }
      default:
        return;
    }
    state.newest.set(entry.subject, entry.seq);
  },

  isOpen: (_state, subject) => (/^(?:person|credential):/.test(subject) ? true : undefined),

  toJSON: ({ byId, invitations, endorsements, newest, invitationVouchers }) => ({
    vouchers: [...invitationVouchers],
    credentials: Array.from(byId.values(), (one) => ({ ...one, recorded: [...one.recorded] })),
    invitations: Array.from(invitations.values(), (one) => ({ ...one })),
    endorsements: [...endorsements],
    newest: [...newest],
  }),

  fromJSON(json: {
    readonly credentials: readonly Credential[];
    readonly invitations: readonly Invitation[];
    readonly endorsements: readonly (readonly [string, SignedCredential[]])[];
    readonly newest: readonly (readonly [string, number])[];
    readonly vouchers: readonly (readonly [number, readonly string[]])[];
  }) {
    return {
      byId: new Map(json.credentials.map((one) => [one.id, { ...one, recorded: [...one.recorded] }])),
      invitations: new Map(json.invitations.map((one) => [one.person, { ...one }])),
      endorsements: new Map(json.endorsements),
      newest: new Map(json.newest),
      invitationVouchers: new Map(json.vouchers),
    };
  },
};

function enrol(state: CredentialsState, entry: Entry<"credential.enrolled">): void {
  const { data } = entry;
  const invitation = state.invitations.get(data.person);
  const invited = data.by.kind === "invitation" && invitation?.codeDigest === data.by.code_digest;
  state.byId.set(data.credential, {
    id: data.credential,
    person: data.person,
    label: data.label,
    publicKey: data.public_key,
    algorithm: data.algorithm,
    rpId: data.rp_id,
    aaguid: data.aaguid,
    backupEligible: data.backup_eligible,
    countsFrom: parseTimestamp(data.counts_from),
    enrolledAt: parseTimestamp(entry.time),
    seq: entry.seq,
    by: invited ? { invitation: invitation.seq } : voucherOf(data.by),
    removed: null,
    counter: 0,
    recorded: [],
  });
  if (invited) invitation.used = true;
}

const voucherOf = (by: CredentialEntries["credential.enrolled"]["by"]): Credential["by"] =>
  by.kind === "credential" && by.proof.kind === "webauthn" ? { credential: by.proof.credential } : null;

/** Entries that show how a passkey came to its person, and its end: its own, and those of what vouched for it. */
export function entriesOf(state: CredentialsState, id: string): readonly number[] {
  const seqs = new Set<number>();
  const visit = (of: string): void => {
    const credential = state.byId.get(of);
    if (credential === undefined || seqs.has(credential.seq)) return;
    seqs.add(credential.seq);
    if (credential.removed !== null) seqs.add(credential.removed.seq);
    if (credential.by === null) return;
    if ("credential" in credential.by) visit(credential.by.credential);
    else {
      seqs.add(credential.by.invitation);
      for (const voucher of state.invitationVouchers.get(credential.by.invitation) ?? []) visit(voucher);
    }
  };
  visit(id);
  return [...seqs].sort((a, b) => a - b);
}

/** What waited longer than a statement lives can never be completed. */
function forgetOld(state: CredentialsState, now: number): void {
  for (const [nonce, waiting] of state.endorsements) {
    if (waiting.every(({ statement }) => parseTimestamp(statement.issued_at) < now - STATEMENT_LIFE_MS)) {
      state.endorsements.delete(nonce);
    }
  }
}

const signatureDigest = ({ signature }: WebauthnProof): string =>
  createHash("sha256").update(signature).digest("base64url").slice(0, 22);

function recordProof({ byId }: CredentialsState, proof: WebauthnProof): void {
  const credential = byId.get(proof.credential);
  if (credential === undefined) return;
  credential.counter = Math.max(credential.counter, counterOf(proof.authenticator_data));
  const digest = signatureDigest(proof);
  if (credential.recorded.includes(digest)) return;
  credential.recorded.push(digest);
  if (credential.recorded.length > MOST_RECORDED) credential.recorded.shift();
}

/**
 * True where a proof's counter shows that the passkey was copied: a counter that stands still or goes back, on a
 * signature that is not on record (WebAuthn L3 §7.2, step 22). Passkeys that count nothing say 0 throughout.
 */
export function counterWentBack(credential: Credential, proof: WebauthnProof): boolean {
  const counter = counterOf(proof.authenticator_data);
  if (counter === 0 && credential.counter === 0) return false;
  return counter <= credential.counter && !credential.recorded.includes(signatureDigest(proof));
}

/** Every passkey's proof in an entry, whatever its kind: `proof`, `statements[].proof`, `by.proof`. */
function proofsIn(data: unknown): readonly WebauthnProof[] {
  const { proof, statements, by } = data as { proof?: unknown; statements?: unknown; by?: unknown };
  if (proof === undefined && statements === undefined && by === undefined) return [];
  const found = [
    proof,
    ...(Array.isArray(statements) ? statements.map((one: { proof?: unknown }) => one.proof) : []),
    (by as { proof?: unknown } | null | undefined)?.proof,
  ];
  return found.filter(
    (one): one is WebauthnProof => (one as { kind?: unknown } | null | undefined)?.kind === "webauthn",
  );
}

/** A passkey that stands: enrolled and not removed. */
export function standing(state: CredentialsState, id: string): Credential | null {
  const credential = state.byId.get(id);
  return credential === undefined || credential.removed !== null ? null : credential;
}

/** The passkeys of a person that stand, oldest first. */
export const standingOf = (state: CredentialsState, person: PersonId): readonly Credential[] =>
  [...state.byId.values()].filter((one) => one.person === person && one.removed === null);

/** What an append that rests on a proof expects, so that a passkey removed meanwhile is seen; a session's too. */
export const expectsOf = (state: CredentialsState, proof: Proof | AccountProof): Batch["expect"] => {
  const passkey = passkeyOf(proof);
  if (passkey === null) return [];
  const subject = credentialSubject(passkey);
  return [{ subject, newest: state.newest.get(subject) ?? null }];
};

/** The passkey that a proof rests on: what signed it, or signed the session in; null for none. */
export const passkeyOf = (proof: Proof | AccountProof): string | null => {
  if (proof.kind === "webauthn") return proof.credential;
  return proof.kind === "session" && proof.method === "passkey" ? proof.subject : null;
};
