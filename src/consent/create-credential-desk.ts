import { timestamp } from "../base/clock.ts";
import { createCredentialContext, type CredentialDeskParts } from "./credential-context.ts";
import type { CredentialDesk, CredentialEvent } from "./credential-desk.ts";
import { demandChangers, strongestProofOf } from "./credential-rules.ts";
import { standing, standingOf, STATEMENT_LIFE_MS } from "./credentials.ts";
import { createEnrolments } from "./enrolments.ts";
import { createInvitations } from "./invitations.ts";

/** The credentials of a home. credential-desk.ts has the rules. */
export function createCredentialDesk(parts: CredentialDeskParts): CredentialDesk {
  const { clock, state, settings } = parts;
  const context = createCredentialContext(parts);
  const invitations = createInvitations(parts, context);
  const { invite, inviteOnSave, checkCode } = invitations;
  const { redeem, add, remove, removeOnSave } = createEnrolments(parts, context, invitations);
  const listeners = new Set<(event: CredentialEvent) => void>();
  let servedAt = parts.defaultOrigin;

  parts.follow((entries) => {
    if (listeners.size === 0) return;
    for (const entry of entries) {
      const { seq, time: at } = entry;
      if (entry.kind === "credential.invited") {
        tell({ kind: "invited", person: entry.data.person, credential: null, label: null, seq, at });
      }
      if (entry.kind === "credential.enrolled" || entry.kind === "credential.removed") {
        const { credential, person } = entry.data;
        const label = state.byId.get(credential)?.label ?? null;
        tell({
          kind: entry.kind === "credential.enrolled" ? "enrolled" : "removed",
          person,
          credential,
          label,
          seq,
          at,
        });
      }
    }
  });
  const tell = (event: CredentialEvent): void => {
    for (const listener of listeners) listener(event);
  };

  return {
    rp: {
      id: settings.rpId,
      name: "Countersign",
      origins: () => (settings.origins.length > 0 ? settings.origins : [servedAt]),
    },
    people() {
      const policy = parts.policy();
      const now = clock.now();
      return [...policy.people.values()].map((person) => {
        const invitation = state.invitations.get(person.id);
        const isOpen = invitation !== undefined && !invitation.used && now < invitation.expiresAt;
        const waiting = [...state.endorsements.values()].filter((signed) =>
          signed.some(({ statement }) => statement.action === "invite" && statement.person === person.id),
        );
        return {
          person: person.id,
          name: person.name,
          disabled: person.disabled,
          credentials: standingOf(state, person.id),
          sshKeys: person.ssh.length,
          oidc: person.oidc !== null,
          strongest: strongestProofOf(policy, state, person.id, now, parts.signInByProvider),
          invitedUntil: isOpen ? invitation.expiresAt : null,
          endorsements: Math.max(0, ...waiting.map((signed) => signed.length)),
        };
      });
    },
    find: (id) => standing(state, id),
    ofPerson: (person) => standingOf(state, person),
    strongest: (person, at) => strongestProofOf(parts.policy(), state, person, at, parts.signInByProvider),
    needs() {
      const policy = parts.policy();
      return policy.adopt === "on_save" ? null : demandChangers(policy);
    },

    async draft({ action, person, approver, credential, publicKey }) {
      await parts.catchUp();
      const about = { action, person, credential: credential ?? null, public_key: publicKey ?? null };
      const now = clock.now();
      const joins = [...state.endorsements.values()]
        .map((signed) => signed[0]?.statement)
        .find(
          (statement) =>
            statement?.action === action &&
            statement.person === person &&
            statement.credential === about.credential &&
            statement.public_key === about.public_key &&
            Date.parse(statement.issued_at) > now - STATEMENT_LIFE_MS &&
            !context.isNonceUsed(statement.nonce),
        );
      return {
        typ: "countersign.credential",
        v: 1,
        log: parts.log,
        ...about,
        nonce: joins?.nonce ?? parts.nonces.mint(about),
        approver,
        issued_at: timestamp(now),
      };
    },

    invite,
    inviteOnSave,
    checkCode,
    redeem,
    add,
    remove,
    removeOnSave,

    follow(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    serveAt(origin) {
      servedAt = origin;
    },
  };
}
