import { timestamp } from "../base/clock.ts";
import type { EntryDraft } from "../log/entry.ts";
import { isFault } from "../errors.ts";
import type { Policy, PolicyChange } from "../policy/policy.ts";
import { meets } from "../policy/verdict.ts";
import type { PersonId } from "../request/principal.ts";
import type { CredentialContext, CredentialDeskParts } from "./credential-context.ts";
import type { CredentialDesk, InvitationAnswer } from "./credential-desk.ts";
import {
  checkStatement,
  credentialRefused,
  demandChangers,
  demandOnSave,
  demandPerson,
  invitationInvalid,
} from "./credential-rules.ts";
import { personSubject, type Invitation, type SignedCredential } from "./credentials.ts";
import {
  beginningDigest,
  formatInvitationCode,
  invitationDigest,
  newInvitationCode,
  parseInvitationCode,
  sameDigest,
} from "./invitation-code.ts";
import { membersOf } from "./people.ts";

// E1, E2: who may enrol, by whose leave, and with which code.

/**
 * So many wrong secrets that begin like one end it. Those that begin otherwise are blind: 80 bits need no help, and
 * whoever knows a person's name must not spoil their invitation with five of them.
 */
const MOST_WRONG_TRIES = 5;

export interface Invitations extends Pick<CredentialDesk, "invite" | "inviteOnSave" | "checkCode"> {
  /** The invitation that a code redeems now; `wrong` where the secret is not its; null for none. */
  forCode(code: string): Invitation | { readonly wrong: Invitation } | null;
  /** The same, counting a wrong secret as a try. @throws CountersignError `INVITATION_INVALID` */
  demand(code: string): Promise<Invitation>;
}

export function createInvitations(parts: CredentialDeskParts, context: CredentialContext): Invitations {
  const { clock, state, settings } = parts;
  const { attest, check, commit, expects, nonceKey, useNonce } = context;

  const makeInvitation = (
    policy: Policy,
    person: PersonId,
    mode: Invitation["mode"],
    statements: readonly SignedCredential[],
  ) => {
    const code = newInvitationCode(person);
    const expiresAt = clock.now() + settings.invitationMs;
    const [first] = statements;
    const entry: EntryDraft<"credential.invited"> = {
      kind: "credential.invited",
      subject: personSubject(person),
      policy: policy.revision,
      ...(first === undefined ? {} : { keys: useNonce(first.statement) }),
      data: {
        person,
        code_digest: invitationDigest(parts.log, code),
        expires_at: timestamp(expiresAt),
        mode,
        statements,
      },
    };
    const answer: InvitationAnswer & { readonly state: "invited" } = {
      state: "invited",
      person,
      code: formatInvitationCode(code),
      expiresAt,
    };
    return { entry, answer };
  };

  /** The invitation that a code redeems now; `wrong` where the secret is not its. */
  const forCode = (text: string): Invitation | { readonly wrong: Invitation } | null => {
    const code = parseInvitationCode(text);
    const invitation = code === null ? undefined : state.invitations.get(code.person);
    if (code === null || invitation === undefined || invitation.used) return null;
    if (clock.now() >= invitation.expiresAt) return null;
    if (parts.tries.count(beginningDigest(parts.log, code)) >= MOST_WRONG_TRIES) return null;
    if (!sameDigest(invitationDigest(parts.log, code), invitation.codeDigest)) return { wrong: invitation };
    const policy = parts.policy();
    if (policy.people.get(invitation.person)?.disabled !== false) return null;
    return stillVouched(policy, invitation) ? invitation : null;
  };

  /** Whose statement counts towards an invitation; null where it does not. @throws CountersignError */
  const vouches = (policy: Policy, need: PolicyChange, signed: SignedCredential): PersonId | null => {
    const attested = attest(policy, signed);
    const counts =
      signed.proof.kind !== "session" &&
      membersOf(policy, need.by).has(attested.person) &&
      meets(attested.assurance, need.assurance);
    return counts ? attested.person : null;
  };

  /** Those who vouched have to be able to do so still, with the keys and passkeys of then, when it is redeemed (E2). */
  const stillVouched = (policy: Policy, { mode, statements }: Invitation): boolean => {
    if (mode === "on_save") return policy.adopt === "on_save";
    const need = policy.policyChange;
    if (need === null) return false;
    const people = statements.map((signed) => unlessRefused(() => vouches(policy, need, signed)));
    return new Set(people.filter((person) => person !== null)).size >= need.quorum;
  };

  const demand = async (text: string): Promise<Invitation> => {
    const found = forCode(text);
    if (found !== null && !("wrong" in found)) return found;
    const code = parseInvitationCode(text);
    if (found !== null && code !== null) await parts.tries.add(beginningDigest(parts.log, code));
    throw invitationInvalid();
  };

  return {
    forCode,
    demand,
    invite: ({ statement, proof }) =>
      commit<InvitationAnswer>(() => {
        const policy = parts.policy();
        const { person } = statement;
        if (statement.action !== "invite" || statement.credential !== null || statement.public_key !== null) {
          throw credentialRefused(
            "the statement is not an invitation",
            "draft one: countersign people invite <person>",
          );
        }
        demandPerson(policy, person);
        check(statement);
        const need = demandChangers(policy);
        const own = attest(policy, { statement, proof });
        if (vouches(policy, need, { statement, proof }) === null) {
          throw credentialRefused(
            `an invitation needs the signature of [${need.by.join(", ")}] with ${need.assurance} or better; this shows ${own.assurance}${proof.kind === "session" ? " without one" : ""}`,
            "sign with a stronger key or passkey, or let another person do it",
          );
        }
        const others = (state.endorsements.get(statement.nonce) ?? []).filter((signed) => {
          const about = { log: parts.log, now: clock.now(), isOurs: true, isUsed: false };
          const person = unlessRefused(() => {
            checkStatement(signed.statement, about);
            return vouches(policy, need, signed);
          });
          return person !== null && person !== own.person;
        });
        const ownSigned = { statement, proof: own.proof };
        const signed = [...others, ownSigned];
        const proofs = signed.map((one) => one.proof);
        const base = { expect: expects(personSubject(person), proofs), newKeys: [nonceKey(statement.nonce)] };
        const people = new Set(signed.map((one) => one.statement.approver));
        if (people.size >= need.quorum) {
          const { entry, answer } = makeInvitation(policy, person, "signed", signed);
          return { batch: { ...base, entries: [entry] }, answer };
        }
        const stands = state.endorsements
          .get(statement.nonce)
          ?.some((one) => one.statement.approver === own.person);
        if (stands === true) {
          throw credentialRefused(
            `"${own.person}" signed this already; ${need.quorum - people.size} more have to`,
            "let another person of policy_change sign it",
          );
        }
        return {
          batch: {
            ...base,
            entries: [
              {
                kind: "credential.endorsed",
                subject: personSubject(person),
                policy: policy.revision,
                data: ownSigned,
              },
            ],
          },
          answer: { state: "endorsed", have: people.size, need: need.quorum },
        };
      }),

    inviteOnSave: (person) =>
      commit(() => {
        const policy = parts.policy();
        demandOnSave(policy);
        demandPerson(policy, person);
        const { entry, answer } = makeInvitation(policy, person, "on_save", []);
        return { batch: { expect: expects(personSubject(person)), newKeys: [], entries: [entry] }, answer };
      }),

    async checkCode(code) {
      await parts.catchUp();
      return (await demand(code)).person;
    },
  };
}

/** Whoever lost the right to vouch, or the key, or whose statement is too old by now, no longer does: null. */
function unlessRefused(look: () => PersonId | null): PersonId | null {
  try {
    return look();
  } catch (error) {
    if (isFault(error, "CREDENTIAL_REFUSED") || isFault(error, "SIGNATURE_INVALID")) return null;
    throw error;
  }
}
