import { timestamp } from "../../base/clock.ts";
import type { InvitationAnswer } from "../../consent/credential-desk.ts";
import type { Home } from "../../gate/home.ts";
import { flagsOf, type Cli } from "../context.ts";
import { formatMoment, localZone } from "../moment.ts";
import type { AddCommand } from "../program.ts";
import { signCredential, type SignCredentialOptions } from "../sign-credential.ts";

interface InviteFlags extends SignCredentialOptions {
  readonly json?: boolean;
}

export const addPeopleInvite: AddCommand = (parent, cli, run) => {
  parent
    .command("invite")
    .description("make a one-time code with which a person enrols a passkey")
    .argument("<person>", "as the running policy names them")
    .option("--key <file>", "sign with this SSH key (else one the policy knows)")
    .option("--as <person>", "who you are, where keys of several people are here")
    .option("--yes", "do not ask on the terminal before signing")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
It takes what policy_change of the running policy demands: where two people are
needed, the second one runs the same command. With adopt: on_save it takes none.

Example:
  $ countersign people invite ben`,
    )
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const flags = flagsOf<InviteFlags>(command);
          const person = String(command.processedArgs[0]);
          const answer = await inviteInTerminal(cli, home, person, flags);
          if (answer === null) {
            cli.terminal.note("nothing was signed");
            return 1;
          }
          await show(cli, home, answer, flags.json === true);
          return 0;
        }),
      ),
    );
};

async function inviteInTerminal(
  cli: Cli,
  home: Home,
  person: string,
  flags: InviteFlags,
): Promise<InvitationAnswer | null> {
  if (home.credentials.needs() === null) return home.credentials.inviteOnSave(person);
  const question = `Invite "${person}" to enrol a passkey, with which they can sign decisions.`;
  const signed = await signCredential(cli, home, { action: "invite", person }, question, flags);
  return signed === null ? null : home.credentials.invite(signed);
}

async function show(cli: Cli, home: Home, answer: InvitationAnswer, asJson: boolean): Promise<void> {
  const { terminal } = cli;
  if (answer.state === "endorsed") {
    if (asJson) terminal.json(answer);
    else
      terminal.out(
        `signed; ${answer.need - answer.have} more of ${answer.need} have to run the same command`,
      );
    return;
  }
  const url = `${await pagesOf(cli, home)}/enrol#${answer.code}`;
  if (asJson) {
    terminal.json({ ...answer, url, expiresAt: timestamp(answer.expiresAt) });
    return;
  }
  terminal.out(`code   ${answer.code}`);
  terminal.out(`page   ${url}`);
  terminal.out(`until  ${formatMoment(answer.expiresAt, localZone())}`);
  terminal.note("It works once and is not shown again. Give it to the person over a way that you trust.");
}

/** Where the pages are: as configured, else where the gateway that runs listens, whose port the system may have chosen. */
async function pagesOf(cli: Cli, home: Home): Promise<string> {
  const [configured = ""] = home.credentials.rp.origins();
  if (home.settings.passkeys.origins.length > 0) return configured;
  return (await cli.parts.gatewayOf(home.settings))?.api ?? configured;
}
