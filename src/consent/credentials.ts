import { createHash } from "node:crypto";
import { parseTimestamp } from "../base/clock.ts";
import { counterOf } from "../base/webauthn.ts";
import type { Digest } from "../base/digest.ts";
import type { Entry } from "../log/entry.ts";
import type { Reducer } from "../log/fold.ts";
import type { PersonId } from "../request/principal.ts";
import type { Batch } from "../store/store.ts";
import type { CredentialStatement } from "./credential-statement.ts";
import type { Proof, WebauthnProof } from "./entries.ts";

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
  /** Whose statements vouch for it. */
  readonly approvers: readonly PersonId[];
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
  init: () => ({ byId: new Map(), invitations: new Map(), endorsements: new Map(), newest: new Map() }),

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
        state.invitations.set(person, {
          person,
          codeDigest,
          expiresAt: parseTimestamp(expires_at),
          mode,
          approvers: [...new Set(statements.map(({ statement }) => statement.approver))],
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

  toJSON: ({ byId, invitations, endorsements, newest }) => ({
    credentials: [...byId.values()],
    invitations: [...invitations.values()],
    endorsements: [...endorsements],
    newest: [...newest],
  }),

  fromJSON(json: {
    readonly credentials: readonly Credential[];
    readonly invitations: readonly Invitation[];
    readonly endorsements: readonly (readonly [string, SignedCredential[]])[];
    readonly newest: readonly (readonly [string, number])[];
  }) {
    return {
      byId: new Map(json.credentials.map((one) => [one.id, { ...one, recorded: [...one.recorded] }])),
      invitations: new Map(json.invitations.map((one) => [one.person, { ...one }])),
      endorsements: new Map(json.endorsements),
      newest: new Map(json.newest),
    };
  },
};

function enrol(state: CredentialsState, entry: Entry<"credential.enrolled">): void {
  const { data } = entry;
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
    removed: null,
    counter: 0,
    recorded: [],
  });
  const invitation = state.invitations.get(data.person);
  if (data.by.kind === "invitation" && invitation?.codeDigest === data.by.code_digest) invitation.used = true;
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

/** What an append that rests on a proof expects, so that a passkey removed meanwhile is seen. */
export const expectsOf = (state: CredentialsState, proof: Proof): Batch["expect"] => {
  if (proof.kind !== "webauthn") return [];
  const subject = credentialSubject(proof.credential);
  return [{ subject, newest: state.newest.get(subject) ?? null }];
};
