import type { RequestId } from "../base/id.ts";
import { chooseKey, listLocalKeys, localKeyAt, type SignerKey } from "../consent/channels/cli/ssh-key.ts";
import { CountersignError, isFault } from "../errors.ts";
import { SETTLEMENT_NAMESPACE, settlementBytes } from "../execution/settlement.ts";
import type { Home, Settled } from "../gate/home.ts";
import type { Cli } from "./context.ts";
import { signWithKey } from "./sign-with-key.ts";

/** The key to sign a settlement with; null where the policy knows none on this machine and none was named. */
export async function signerHere(
  cli: Cli,
  home: Home,
  wish: { readonly key?: string; readonly as?: string },
): Promise<SignerKey | null> {
  const { people, solo } = home.adoption.current();
  const choose = async (): Promise<SignerKey> => {
    const keys =
      wish.key === undefined ? await listLocalKeys(cli.ssh) : [await localKeyAt(wish.key, cli.ssh)];
    return chooseKey(keys, people, {
      ...(wish.as === undefined ? {} : { person: wish.as }),
      userVerified: false,
      soloPerson: solo,
    });
  };
  try {
    return await choose();
  } catch (error) {
    if (wish.key !== undefined || !isFault(error, "SIGNING_FAILED")) throw error;
    return null;
  }
}

/**
 * Signs and hands in what became of an unknown outcome.
 * @throws CountersignError `DECISION_REFUSED` where this person may not say so
 */
export async function settleInTerminal(
  cli: Cli,
  home: Home,
  signer: SignerKey,
  choice: {
    readonly request: RequestId;
    readonly outcome: "done" | "failed";
    readonly again: boolean;
    readonly message: string;
  },
): Promise<Settled> {
  const { request, outcome, again, message } = choice;
  const statement = await home.draftSettlement(request, { outcome, again, person: signer.person, message });
  const proof = await signWithKey(cli, signer, {
    bytes: settlementBytes(statement),
    namespace: SETTLEMENT_NAMESPACE,
    // C6: alone, the passphrase is asked every time.
    solo: home.adoption.current().solo === signer.person,
  });
  const settled = await home.settle(statement, proof);
  if (settled.ok) return settled.value;
  throw new CountersignError("DECISION_REFUSED", `${settled.error.message} (${settled.error.code})`, {
    hint: "let somebody settle it who could decide on it; --unsigned records it as the gateway's own account's word",
  });
}
