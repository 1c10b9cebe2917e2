import { neutralLine } from "../base/text.ts";
import { chooseKey, listLocalKeys, localKeyAt } from "../consent/channels/cli/ssh-key.ts";
import {
  CREDENTIAL_NAMESPACE,
  credentialBytes,
  type CredentialStatement,
} from "../consent/credential-statement.ts";
import type { SignedCredential } from "../consent/credentials.ts";
import { CountersignError } from "../errors.ts";
import type { Home } from "../gate/home.ts";
import type { Cli } from "./context.ts";
import { rolledBack } from "./sign-decision.ts";
import { signWithKey } from "./sign-with-key.ts";

// A statement about passkeys, signed in the terminal with an SSH key.
//
//   C6. For someone alone, inviting is as good as approving: the key file's passphrase is asked every time, and no flag
//       answers for them.
//   W2. Nothing is signed over a log that does not extend the one this account saw before.

export interface SignCredentialOptions {
  readonly key?: string;
  readonly as?: string;
  readonly yes?: boolean;
}

/** Drafts, asks and signs; null where the person said no. */
export async function signCredential(
  cli: Cli,
  home: Home,
  about: Pick<CredentialStatement, "action" | "person"> & { readonly credential?: string },
  question: string,
  options: SignCredentialOptions,
): Promise<SignedCredential | null> {
  const { terminal } = cli;
  const looked = await cli.witness.look(home.store);
  if (!looked.ok) throw rolledBack(looked.error);
  const policy = home.adoption.current();
  const keys =
    options.key === undefined ? await listLocalKeys(cli.ssh) : [await localKeyAt(options.key, cli.ssh)];
  const signer = chooseKey(keys, policy.people, {
    ...(options.as === undefined ? {} : { person: options.as }),
    userVerified: (policy.policyChange?.assurance ?? "A2") >= "A3",
    soloPerson: policy.solo,
  });
  const statement = await home.credentials.draft({ ...about, approver: signer.person });
  const isAsAsked =
    statement.action === about.action &&
    statement.person === about.person &&
    statement.credential === (about.credential ?? null) &&
    statement.approver === signer.person;
  if (!isAsAsked) {
    throw new CountersignError("SIGNING_FAILED", "the statement to sign is not about what was asked for", {
      hint: "sign nothing; check the log: countersign log verify",
    });
  }
  const solo = policy.solo === signer.person;
  terminal.note(neutralLine(question));
  if (options.yes !== true || solo) {
    const answer = await terminal.ask(`Sign this as ${neutralLine(signer.person)}? [y/N] `);
    if (!/^y(es)?$/i.test(answer?.trim() ?? "")) return null;
  }
  const bytes = credentialBytes(statement);
  const proof = await signWithKey(cli, signer, { bytes, namespace: CREDENTIAL_NAMESPACE, solo });
  return { statement, proof };
}
