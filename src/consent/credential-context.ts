import type { Clock } from "../base/clock.ts";
import type { LogId } from "../base/id.ts";
import type { KeyHold } from "../log/entry.ts";
import type { PasskeySettings } from "../config/settings.ts";
import type { Policy } from "../policy/policy.ts";
import type { AppendResult, Batch, Store } from "../store/store.ts";
import type { Attest, Attestation } from "./attest.ts";
import type { CredentialNonces } from "./credential-nonce.ts";
import { checkStatement, credentialRefused } from "./credential-rules.ts";
import { CREDENTIAL_NAMESPACE, credentialBytes, type CredentialStatement } from "./credential-statement.ts";
import { expectsOf, type CredentialsState, type SignedCredential } from "./credentials.ts";
import type { Proof } from "./entries.ts";

// What inviting, enrolling and removing share: reading a statement, and appending until it holds.

/** What the desk needs of the home around it. */
export interface CredentialDeskParts {
  readonly clock: Clock;
  readonly state: CredentialsState;
  readonly log: LogId;
  readonly settings: PasskeySettings;
  /** Whether people may sign in by an identity provider. */
  readonly signInByProvider: boolean;
  /** `http://localhost:<port>` as configured; `serveAt` names the real one where the system chose the port. */
  readonly defaultOrigin: string;
  policy(): Policy;
  policySeq(): number | null;
  /** True while a key of the fold is held. */
  isHeld(key: string): boolean;
  catchUp(): Promise<void>;
  append(batch: Batch): Promise<AppendResult>;
  readonly follow: Store["follow"];
  readonly attest: Attest;
  readonly nonces: CredentialNonces;
  readonly tries: EnrolmentTries;
}

/** How often a wrong code was tried, by what it began with. Survives a restart. */
export interface EnrolmentTries {
  count(beginning: string): number;
  /** Durable when it resolves. */
  add(beginning: string): Promise<void>;
}

export interface CredentialContext {
  /** Newest entries of a subject, of the policy and of the passkeys that were used, as they are known now. */
  expects(subject: string, proofs?: readonly Proof[]): Batch["expect"];
  /** Prepares on what is known, appends, and prepares again where somebody else was faster. */
  commit<T>(prepare: () => { readonly batch: Batch; readonly answer: T }): Promise<T>;
  /** @throws CountersignError `CREDENTIAL_REFUSED`, `SIGNATURE_INVALID` */
  attest(policy: Policy, signed: SignedCredential): Attestation;
  /** @throws CountersignError `CREDENTIAL_REFUSED` for a statement that can't be used now */
  check(statement: CredentialStatement): void;
  isNonceUsed(nonce: string): boolean;
  readonly nonceKey: (nonce: string) => string;
  /** Takes the statement's nonce for ever: the fold forgets keys that end where calls take many others. */
  useNonce(statement: CredentialStatement): readonly KeyHold[];
}

export function createCredentialContext(parts: CredentialDeskParts): CredentialContext {
  const { clock, state, nonces } = parts;
  const nonceKey = (nonce: string): string => `credential-nonce:${nonce}`;
  const isNonceUsed = (nonce: string): boolean => parts.isHeld(nonceKey(nonce));
  return {
    nonceKey,
    isNonceUsed,
    expects: (subject, proofs = []) => [
      { subject, newest: state.newest.get(subject) ?? null },
      { subject: "policy", newest: parts.policySeq() },
      ...proofs.flatMap((proof) => expectsOf(state, proof)),
    ],
    async commit(prepare) {
      for (;;) {
        await parts.catchUp();
        const { batch, answer } = prepare();
        if ((await parts.append(batch)).ok) return answer;
      }
    },
    attest(policy, { statement, proof }) {
      const signed = {
        bytes: credentialBytes(statement),
        namespace: CREDENTIAL_NAMESPACE,
        approver: statement.approver,
      };
      const attested = parts.attest(policy, signed, proof);
      if (attested.ok && attested.value.person === statement.approver) return attested.value;
      throw credentialRefused(
        `the statement of "${statement.approver}" was not signed by that person`,
        "sign it with a key or passkey of the person whom it names as approver",
      );
    },
    check: (statement) =>
      checkStatement(statement, {
        log: parts.log,
        now: clock.now(),
        isOurs: nonces.isOurs(statement.nonce, statement),
        isUsed: isNonceUsed(statement.nonce),
      }),
    useNonce: (statement) => [{ key: nonceKey(statement.nonce), until: null }],
  };
}
