import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";
import { decideInTerminal } from "../sign-decision.ts";
import { decisionOptions } from "./approve.ts";
import { addSigningFlags } from "./decision-flags.ts";

export const addTakeBack: AddCommand = (parent, cli, run) => {
  addSigningFlags(
    parent
      .command("take-back")
      .description("take your approval back, as long as it has not been granted")
      .argument("<request>", "its code, or its id"),
  )
    .option("--reason <words>", "your words, for the record")
    .addHelpText("after", "\nExample:\n  $ countersign take-back 8K2M4Q")
    .action(
      run((command) =>
        cli.withHome(command, (home) =>
          decideInTerminal(
            cli,
            home,
            "take_back",
            String(command.processedArgs[0]),
            decisionOptions(flagsOf(command)),
          ),
        ),
      ),
    );
};
