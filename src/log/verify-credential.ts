import { parseTimestamp } from "../base/clock.ts";
import { isUsableKey } from "../base/webauthn.ts";
import {
  CREDENTIAL_NAMESPACE,
  credentialBytes,
  type CredentialStatement,
} from "../consent/credential-statement.ts";
import type { CredentialEntries, Proof } from "../consent/entries.ts";
import { meets, type Assurance } from "../policy/verdict.ts";
import type { PolicyPeople } from "./policy-document.ts";
import type { Problem } from "./verify-decision.ts";
import { checkProof, CLOCK_SLACK_MS, type KnownCredential, type Report } from "./verify-proof.ts";

// Replays the entries about passkeys: which a decision may rest on, and whether each came to its person as it has to.
//
//   P6. An invitation rests on as many people as `policy_change` of the policy that ran demands, with that proof; a code
//       enrols one passkey, in its time; another passkey is added with one that counts (A3).
//   C3. A passkey shows A3 from `counts_from` on, and that is never before it was enrolled.

type Kind = keyof CredentialEntries;

/** An entry about credentials; `data` is unchecked. */
export interface CredentialStep<K extends Kind = Kind> {
  readonly kind: K;
  readonly at: number;
  readonly data: CredentialEntries[K];
  /** Of the policy that the entry names; null where it is not at hand. */
  readonly people: PolicyPeople | null;
}

export interface CredentialCheck {
  /** @throws TypeError and the like where the data does not have the shape of its kind. */
  step(step: CredentialStep): readonly Problem[];
  find(id: string): KnownCredential | null;
}

export function createCredentialCheck(): CredentialCheck {
  const credentials = new Map<string, KnownCredential>();
  /** By code digest. */
  const invitations = new Map<string, { readonly person: string; readonly until: number; used: boolean }>();
  const find = (id: string): KnownCredential | null => credentials.get(id) ?? null;

  const shownBy = (
    { at, people }: CredentialStep,
    { statement, proof }: { readonly statement: CredentialStatement; readonly proof: Proof },
    problem: Report,
  ): Assurance | null => {
    if (statement.typ !== "countersign.credential" || statement.v !== 1) {
      problem("statement_mismatch", "the statement is of another type or version");
    }
    const bytes = credentialBytes(statement);
    const { approver: person } = statement;
    return checkProof(
      { bytes, namespace: CREDENTIAL_NAMESPACE, proof, person, at, people, credentialOf: find },
      problem,
    ).shows;
  };

  const invited = (step: CredentialStep<"credential.invited">, problem: Report): void => {
    const { person, code_digest: code, expires_at, mode, statements } = step.data;
    const { people } = step;
    if (mode === "on_save" && people?.adoptsOnSave === false) {
      problem(
        "credential_unproved",
        "nobody signed the invitation, and the policy does not adopt on save",
        "P6",
      );
    }
    const vouching = new Set<string>();
    for (const signed of statements) {
      const { statement, proof } = signed;
      if (statement.action !== "invite" || statement.person !== person) {
        problem("statement_mismatch", `a statement is about something else than inviting ${person}`);
        continue;
      }
      if (statement.nonce !== statements[0]?.statement.nonce) {
        problem("statement_mismatch", "the statements are not about one invitation");
      }
      const shows = shownBy(step, signed, problem);
      const need = people?.policyChange ?? null;
      const counts =
        people === null ||
        (need !== null &&
          people.isMember(statement.approver, need.by) &&
          shows !== null &&
          meets(shows, need.assurance));
      if (counts && proof.kind !== "session") vouching.add(statement.approver);
    }
    const quorum = people === null ? 1 : (people.policyChange?.quorum ?? Number.POSITIVE_INFINITY);
    if (mode !== "on_save" && vouching.size < quorum) {
      problem(
        "credential_unproved",
        `${vouching.size} people vouch for inviting ${person}; ${quorum} have to`,
        "P6",
      );
    }
    invitations.set(code, { person, until: parseTimestamp(expires_at), used: false });
  };

  const enrolled = (step: CredentialStep<"credential.enrolled">, problem: Report): void => {
    const { data, at } = step;
    const unproved = (message: string): void => problem("credential_unproved", message, "P6");
    if (credentials.has(data.credential)) unproved("the passkey was enrolled before");
    if (!isUsableKey({ publicKey: data.public_key, algorithm: data.algorithm })) {
      problem("malformed_entry", "the passkey's key is not ES256, Ed25519 or RS256");
    }
    const countsFrom = parseTimestamp(data.counts_from);
    if (!(countsFrom >= at - CLOCK_SLACK_MS)) unproved("the passkey counts from before it was enrolled");
    if (data.by.kind === "invitation") {
      const invitation = invitations.get(data.by.code_digest);
      if (invitation === undefined) unproved(`nobody invited ${data.person} with this code`);
      else {
        if (invitation.person !== data.person) unproved(`the code was made for ${invitation.person}`);
        if (invitation.used) unproved("the code was used before");
        if (at > invitation.until + CLOCK_SLACK_MS) unproved("the code was over");
        invitation.used = true;
      }
    } else {
      const { statement, proof } = data.by;
      const isAbout =
        statement.action === "add" &&
        statement.credential === data.credential &&
        statement.public_key === data.public_key &&
        statement.person === data.person &&
        statement.approver === data.person;
      if (!isAbout)
        problem("statement_mismatch", "the statement is about another passkey, or another person");
      const shows = shownBy(step, { statement, proof }, problem);
      if (proof.kind === "session" || shows === null || !meets(shows, "A3")) {
        unproved(`the passkey was added with ${shows ?? "nothing"}, and A3 is needed`);
      }
    }
    credentials.set(data.credential, {
      person: data.person,
      publicKey: data.public_key,
      algorithm: data.algorithm,
      rpId: data.rp_id,
      countsFrom,
      removed: false,
    });
  };

  const removed = (step: CredentialStep<"credential.removed">, problem: Report): void => {
    const { credential: id, person, statements } = step.data;
    for (const signed of statements) {
      const { action, credential } = signed.statement;
      if (action !== "remove" || credential !== id)
        problem("statement_mismatch", "a statement is about another passkey");
      shownBy(step, signed, problem);
    }
    const known = credentials.get(id);
    if (known === undefined)
      problem("out_of_order", `a passkey of ${person} was removed and is not enrolled`);
    else credentials.set(id, { ...known, removed: true });
  };

  return {
    find,
    step(given) {
      const step = given as { [K in Kind]: CredentialStep<K> }[Kind];
      const problems: Problem[] = [];
      const problem: Report = (code, message, rule) =>
        void problems.push(rule === undefined ? { code, message } : { code, message, rule });
      switch (step.kind) {
        case "credential.endorsed":
          shownBy(step, step.data, problem);
          break;
        case "credential.invited":
          invited(step, problem);
          break;
        case "credential.enrolled":
          enrolled(step, problem);
          break;
        case "credential.removed":
          removed(step, problem);
          break;
      }
      return problems;
    },
  };
}
