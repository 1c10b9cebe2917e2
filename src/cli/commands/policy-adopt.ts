import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";
import { adoptInTerminal, type AdoptOptions } from "../sign-adoption.ts";

export const addPolicyAdopt: AddCommand = (parent, cli, run) => {
  parent
    .command("adopt")
    .description("see what changed in policy.yaml and sign that it may run")
    .option(
      "--key <file>",
      "sign with this SSH key (else the one in ~/.ssh or the agent that the policy knows)",
    )
    .option("--as <person>", "who you are, where keys of several people are on this machine")
    .option("--save <file>", "write your signed statement instead, for whoever adopts")
    .option("--endorse", "record your signature in the log; whoever signs last adopts")
    .option("--with <file...>", "statements that others saved")
    .option("--yes", "do not ask on the terminal; needs --revision")
    .option("--revision <digest>", "the revision that --yes adopts")
    .addHelpText(
      "after",
      `
The file is a proposal; what runs is the last adopted revision. The revision
that runs says who may adopt another one (policy_change).

Example:
  $ countersign policy adopt
  $ countersign policy adopt --endorse            (one of several)
  $ countersign policy adopt --save ben.json      (the second person)
  $ countersign policy adopt --with ben.json      (the first)`,
    )
    .action(
      run((command) =>
        cli.withHome(command, (home) => adoptInTerminal(cli, home, flagsOf<AdoptOptions>(command))),
      ),
    );
};
