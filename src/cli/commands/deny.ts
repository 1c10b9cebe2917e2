import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";
import { decideInTerminal } from "../sign-decision.ts";
import { decisionOptions } from "./approve.ts";
import { addSigningFlags } from "./decision-flags.ts";

export const addDeny: AddCommand = (parent, cli, run) => {
  addSigningFlags(
    parent
      .command("deny")
      .description("refuse a request; the first eligible deny settles it")
      .argument("<request>", "its code, or its id"),
  )
    .option("--reason <words>", "your words; the agent is told them")
    .option("--fixable", "the agent may correct the call and ask again at once (else the deny is final)")
    .addHelpText(
      "after",
      `
A final deny also answers the same call for ten minutes. A fixable one does not:
say in --reason what has to change.

Example:
  $ countersign deny 8K2M4Q --reason "not during the freeze"
  $ countersign deny 8K2M4Q --fixable --reason "without the change to billing"`,
    )
    .action(
      run((command) =>
        cli.withHome(command, (home) =>
          decideInTerminal(cli, home, "deny", String(command.processedArgs[0]), {
            ...decisionOptions(flagsOf(command)),
            fixable: flagsOf<{ fixable?: boolean }>(command).fixable,
          }),
        ),
      ),
    );
};
