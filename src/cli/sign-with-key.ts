import { neutralLine } from "../base/text.ts";
import type { SignerKey } from "../consent/channels/cli/ssh-key.ts";
import { signWithSsh } from "../consent/channels/cli/ssh-sign.ts";
import type { SshProof } from "../consent/entries.ts";
import type { Cli } from "./context.ts";

/**
 * Signs a statement with an SSH key on this machine, and says whose and which key it is first.
 * @throws CountersignError `SIGNING_FAILED`
 */
export async function signWithKey(
  cli: Cli,
  signer: SignerKey,
  statement: {
    readonly bytes: Uint8Array;
    readonly namespace: string;
    /** C6: this signature alone lets something happen, so the passphrase is asked. */
    readonly solo: boolean;
  },
): Promise<SshProof> {
  const { terminal } = cli;
  const key = signer.file ?? `the agent's key ${neutralLine(signer.comment)}`;
  terminal.note(`signing as ${signer.person} with ${key}`);
  const { userVerified, fingerprint } = signer;
  const request = { ...statement, key: signer, userVerified, interactive: terminal.interactive };
  return { kind: "sshsig", signature: await signWithSsh(request, cli.ssh), fingerprint, channel: "cli" };
}
