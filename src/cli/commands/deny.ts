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
    .addHelpText("after", '\nExample:\n  $ countersign deny 8K2M4Q --reason "not during the freeze"')
    .action(
      run((command) =>
        cli.withHome(command, (home) =>
          decideInTerminal(
            cli,
            home,
            "deny",
            String(command.processedArgs[0]),
            decisionOptions(flagsOf(command)),
          ),
        ),
      ),
    );
};
