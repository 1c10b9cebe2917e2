import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";
import { decideInTerminal, type DecisionOptions } from "../sign-decision.ts";
import { addSigningFlags } from "./decision-flags.ts";

export const addApprove: AddCommand = (parent, cli, run) => {
  addSigningFlags(
    parent
      .command("approve")
      .description("see the whole question, then sign that exactly this may run")
      .argument("<request>", "its code, or its id"),
  )
    .option("--reason <words>", "your words, for the record")
    .option("--yes", "do not ask on the terminal; needs --code")
    .option("--code <code>", "the code of the question that --yes approves")
    .option("--no-wait", "do not wait for the outcome")
    .addHelpText(
      "after",
      `
The answer is signed with your SSH key. What it may be is in policy.yaml under
people.<you>.ssh. An approval of your own agent's request counts only where the
policy says solo, and is asked for a passphrase every time.

Example:
  $ countersign approve 8K2M4Q
  $ countersign approve 8K2M4Q --print-statement approval.txt
  $ countersign approve 8K2M4Q --signature approval.txt.sig`,
    )
    .action(
      run((command) =>
        cli.withHome(command, (home) =>
          decideInTerminal(
            cli,
            home,
            "approve",
            String(command.processedArgs[0]),
            decisionOptions(flagsOf(command)),
          ),
        ),
      ),
    );
};

/** `--no-wait` is the only way to say no; otherwise whether to wait depends on the terminal. */
export const decisionOptions = (flags: DecisionOptions): DecisionOptions => ({
  ...flags,
  wait: flags.wait === false ? false : undefined,
});
