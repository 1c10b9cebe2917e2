import { CountersignError } from "../../errors.ts";
import { flagsOf } from "../context.ts";
import { neutralLine } from "../../base/text.ts";
import type { AddCommand } from "../program.ts";
import { signCredential, type SignCredentialOptions } from "../sign-credential.ts";

interface RemoveFlags extends SignCredentialOptions {
  readonly why?: string;
  readonly json?: boolean;
}

export const addPeopleRemoveCredential: AddCommand = (parent, cli, run) => {
  parent
    .command("remove-credential")
    .description("remove a passkey: it counts for nothing any more")
    .argument("<id>", "as `people list` shows it; its first characters will do")
    .option("--why <words>", "for the record, such as: lost")
    .option("--key <file>", "sign with this SSH key (else one the policy knows)")
    .option("--as <person>", "who you are, where keys of several people are here")
    .option("--yes", "do not ask on the terminal before signing")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Its own person may do it, or one person of policy_change. Sessions that it
opened end, and approvals by it that are not granted yet count no more.

Example:
  $ countersign people remove-credential 3q2-7w --why "phone lost"`,
    )
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const flags = flagsOf<RemoveFlags>(command);
          const prefix = String(command.processedArgs[0]);
          const found = home.credentials
            .people()
            .flatMap(({ credentials }) => credentials)
            .filter(({ id }) => id.startsWith(prefix));
          const [credential] = found;
          if (credential === undefined || found.length > 1) {
            const what = found.length === 0 ? "no passkey" : `${found.length} passkeys`;
            throw new CountersignError("CREDENTIAL_REFUSED", `${what} with an id that begins like this`, {
              hint: "see them: countersign people list",
            });
          }
          const { id, person, label } = credential;
          const why = flags.why ?? "removed on the command line";
          const question = `Remove the passkey ${neutralLine(label)} of ${person} (${id}).`;
          if (home.credentials.needs() === null) await home.credentials.removeOnSave(id, why);
          else {
            const about = { action: "remove", person, credential: id } as const;
            const signed = await signCredential(cli, home, about, question, flags);
            if (signed === null) {
              cli.terminal.note("nothing was signed");
              return 1;
            }
            await home.credentials.remove(signed, why);
          }
          if (flags.json === true) cli.terminal.json({ state: "removed", credential: id, person });
          else cli.terminal.out(`removed ${id} of ${person}`);
          return 0;
        }),
      ),
    );
};
