import type { OpenedHome } from "../../src/compose.ts";
import type { InvitationAnswer, NewCredential } from "../../src/consent/credential-desk.ts";
import {
  CREDENTIAL_NAMESPACE,
  credentialBytes,
  type CredentialStatement,
} from "../../src/consent/credential-statement.ts";
import type { SignedCredential } from "../../src/consent/credentials.ts";
import type { Proof } from "../../src/consent/entries.ts";
import { statementBytes, type Statement } from "../../src/consent/statement.ts";
import { createSoftPasskey, type AssertionWishes, type SoftPasskey } from "./soft-passkey.ts";
import type { World } from "./world.ts";

// People with passkeys, in a real home: invited, enrolled and deciding as the pages do it, without a browser.

export const ORIGIN = "http://localhost:7332";
export const AAGUID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee";

/** What an authenticator registered, as the page hands it over once it was verified. */
export const registered = (passkey: SoftPasskey, more: Partial<NewCredential> = {}): NewCredential => ({
  id: passkey.id,
  publicKey: passkey.publicKey,
  algorithm: passkey.algorithm,
  rpId: "localhost",
  aaguid: AAGUID,
  backupEligible: true,
  userVerified: true,
  ...more,
});

/** A statement about credentials, signed with the person's SSH key. */
export function signWithKey(world: World, statement: CredentialStatement): SignedCredential {
  const key = world.keys[statement.approver];
  if (key === undefined) throw new Error(`no key for ${statement.approver}`);
  const signature = key.sign(credentialBytes(statement), CREDENTIAL_NAMESPACE);
  return { statement, proof: { kind: "sshsig", signature, fingerprint: "", channel: "cli" } };
}

export const signWithPasskey = (
  passkey: SoftPasskey,
  statement: CredentialStatement,
  wishes?: AssertionWishes,
): SignedCredential => ({ statement, proof: passkey.prove(credentialBytes(statement), wishes) });

/** Hands in what each of `approvers` signs, and gives the last answer. */
export async function invite(
  world: World,
  home: OpenedHome,
  person: string,
  approvers: readonly string[],
): Promise<InvitationAnswer> {
  let answer: InvitationAnswer | null = null;
  for (const approver of approvers) {
    const statement = await home.credentials.draft({ action: "invite", person, approver });
    answer = await home.credentials.invite(signWithKey(world, statement));
  }
  if (answer === null) throw new Error("nobody signed");
  return answer;
}

export const codeOf = (answer: InvitationAnswer): string => {
  if (answer.state !== "invited") throw new Error(`expected an invitation, got ${JSON.stringify(answer)}`);
  return answer.code;
};

/** Invites and enrols a person; gives the passkey. */
export async function enrol(
  world: World,
  home: OpenedHome,
  person: string,
  approvers: readonly string[],
  passkey: SoftPasskey = createSoftPasskey(),
): Promise<SoftPasskey> {
  const code = codeOf(await invite(world, home, person, approvers));
  await home.credentials.redeem(code, registered(passkey), `${person}'s phone`);
  return passkey;
}

/** Drafts, signs with the passkey and hands in a decision. */
export async function decideWith(
  home: OpenedHome,
  passkey: SoftPasskey,
  reference: string,
  person: string,
  more: {
    readonly decision?: Statement["decision"];
    readonly wishes?: AssertionWishes;
    /** Signed as drafted; handed in like this. */
    readonly tampered?: Partial<Statement>;
    readonly proof?: Partial<Proof>;
  } = {},
) {
  const { request } = home.desk.find(reference);
  const statement = await home.desk.draft(request, {
    decision: more.decision ?? "approve",
    person,
    reason: null,
    log: null,
  });
  const proof = passkey.prove(statementBytes(statement), more.wishes);
  return home.desk.decide({ ...statement, ...more.tampered }, { ...proof, ...more.proof } as Proof);
}
