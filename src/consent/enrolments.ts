import { timestamp } from "../base/clock.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { Policy } from "../policy/policy.ts";
import { meets } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import type { CredentialContext, CredentialDeskParts } from "./credential-context.ts";
import type { CredentialDesk, NewCredential } from "./credential-desk.ts";
import {
  checkNewCredential,
  cleanLabel,
  credentialRefused,
  demandOnSave,
  demandPerson,
  invitationInvalid,
} from "./credential-rules.ts";
import {
  credentialSubject,
  personSubject,
  standing,
  type Credential,
  type SignedCredential,
} from "./credentials.ts";
import type { CredentialEntries } from "./entries.ts";
import type { Invitations } from "./invitations.ts";
import { membersOf } from "./people.ts";

// E2 to E5: how a passkey comes to be a person's, and how it stops.

/** Held by the first passkey of a log. */
const FIRST = "credential:first";

export function createEnrolments(
  parts: CredentialDeskParts,
  context: CredentialContext,
  invitations: Invitations,
): Pick<CredentialDesk, "redeem" | "add" | "remove" | "removeOnSave"> {
  const { clock, state, settings } = parts;
  const { attest, check, commit, expects, nonceKey, useNonce } = context;

  const enrolment = (
    policy: Policy,
    person: PersonId,
    credential: NewCredential,
    label: string,
    by: CredentialEntries["credential.enrolled"]["by"],
    keys: NonNullable<EntryDraft["keys"]>,
  ): EntryDraft<"credential.enrolled"> => {
    checkNewCredential(state, person, credential, settings);
    const isFirst = state.byId.size === 0 && by.kind === "invitation";
    return {
      kind: "credential.enrolled",
      subject: credentialSubject(credential.id),
      policy: policy.revision,
      keys: isFirst ? [...keys, { key: FIRST, until: null }] : keys,
      data: {
        credential: credential.id,
        person,
        label: cleanLabel(label),
        public_key: credential.publicKey,
        algorithm: credential.algorithm,
        rp_id: credential.rpId,
        aaguid: credential.aaguid,
        backup_eligible: credential.backupEligible,
        counts_from: timestamp(clock.now() + (isFirst ? 0 : settings.coolingMs)),
        by,
      },
    };
  };
  const enrolled = (id: string): Credential => {
    const credential = standing(state, id);
    if (credential === null) throw new Error("an enrolled passkey is not in the fold");
    return credential;
  };

  const removal = (
    policy: Policy,
    credential: Credential,
    why: string,
    statements: readonly SignedCredential[],
  ): EntryDraft<"credential.removed"> => ({
    kind: "credential.removed",
    subject: credentialSubject(credential.id),
    policy: policy.revision,
    ...(statements[0] === undefined ? {} : { keys: useNonce(statements[0].statement) }),
    data: { credential: credential.id, person: credential.person, why: cleanLabel(why), statements },
  });
  const demandStanding = (id: string | null): Credential => {
    const credential = id === null ? null : standing(state, id);
    if (credential !== null) return credential;
    throw credentialRefused("no such passkey is enrolled", "see what there is: countersign people list");
  };
  return {
    async redeem(code, credential, label) {
      await parts.catchUp();
      await invitations.demand(code);
      await commit(() => {
        const invitation = invitations.forCode(code);
        if (invitation === null || "wrong" in invitation) throw invitationInvalid();
        const { person, codeDigest, statements } = invitation;
        const proofs = statements.map(({ proof }) => proof);
        // Held for ever, so that no crash, no second process and no later removal lets a code be redeemed twice.
        const key = `invitation:${codeDigest}`;
        const by = { kind: "invitation", code_digest: codeDigest } as const;
        const entry = enrolment(parts.policy(), person, credential, label, by, [{ key, until: null }]);
        const expect = [...expects(personSubject(person), proofs), { subject: entry.subject, newest: null }];
        // Two who enrol at the same moment can't both be the first (E4).
        const first = entry.keys?.some((hold) => hold.key === FIRST) === true ? [FIRST] : [];
        return { batch: { expect, newKeys: [key, ...first], entries: [entry] }, answer: null };
      });
      return enrolled(credential.id);
    },

    async add(credential, label, { statement, proof }) {
      await commit(() => {
        const policy = parts.policy();
        if (
          statement.action !== "add" ||
          statement.credential !== credential.id ||
          statement.public_key !== credential.publicKey ||
          statement.approver !== statement.person
        ) {
          throw credentialRefused("the statement is about another passkey", "start again on the page");
        }
        demandPerson(policy, statement.person);
        check(statement);
        const attested = attest(policy, { statement, proof });
        if (proof.kind === "session" || !meets(attested.assurance, "A3")) {
          throw credentialRefused(
            `a passkey is added with one that counts already, or an SSH key that verifies its user; this shows ${attested.assurance}`,
            "wait until the cooling period of the first one is over, or ask for an invitation",
          );
        }
        const by = { kind: "credential", statement, proof: attested.proof } as const;
        const entry = enrolment(policy, statement.person, credential, label, by, useNonce(statement));
        const expect = [
          ...expects(personSubject(statement.person), [proof]),
          { subject: entry.subject, newest: null },
        ];
        return { batch: { expect, newKeys: [nonceKey(statement.nonce)], entries: [entry] }, answer: null };
      });
      return enrolled(credential.id);
    },

    remove: ({ statement, proof }, why) =>
      commit(() => {
        const policy = parts.policy();
        const credential = demandStanding(statement.credential);
        if (
          statement.action !== "remove" ||
          statement.person !== credential.person ||
          statement.public_key !== null
        ) {
          throw credentialRefused("the statement is not about removing this passkey", "draft it again");
        }
        check(statement);
        const attested = attest(policy, { statement, proof });
        const isOwn = attested.person === credential.person;
        // Losing a passkey is safe; still, a session alone must not take everybody's away.
        const mayForOthers = proof.kind !== "session" && mayChange(policy, attested.person);
        if (!meets(attested.assurance, "A2") || !(isOwn || mayForOthers)) {
          throw credentialRefused(
            isOwn
              ? "the sign-in is too old to remove a passkey"
              : `only "${credential.person}", or a person of policy_change by signature, removes this passkey`,
            isOwn ? "sign in again, then remove it" : "sign with a key or passkey of such a person",
          );
        }
        const entry = removal(policy, credential, why, [{ statement, proof: attested.proof }]);
        return {
          batch: {
            expect: expects(entry.subject, [proof]),
            newKeys: [nonceKey(statement.nonce)],
            entries: [entry],
          },
          answer: undefined,
        };
      }),

    removeOnSave: (id, why) =>
      commit(() => {
        const policy = parts.policy();
        demandOnSave(policy);
        const entry = removal(policy, demandStanding(id), why, []);
        return {
          batch: { expect: expects(entry.subject), newKeys: [], entries: [entry] },
          answer: undefined,
        };
      }),
  };
}

const mayChange = (policy: Policy, person: PersonId): boolean =>
  policy.policyChange !== null && membersOf(policy, policy.policyChange.by).has(person);
