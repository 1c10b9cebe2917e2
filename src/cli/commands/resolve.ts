import { neutralLine } from "../../base/text.ts";
import { CountersignError } from "../../errors.ts";
import { flagsOf, type Cli } from "../context.ts";
import { usage } from "../failure.ts";
import { personHere } from "../person-here.ts";
import type { AddCommand } from "../program.ts";

interface ResolveFlags {
  readonly ran?: boolean;
  readonly didNotRun?: boolean;
  readonly message?: string;
  readonly as?: string;
  readonly yes?: boolean;
}

export const addResolve: AddCommand = (parent, cli, run) => {
  parent
    .command("resolve")
    .description("say what became of a request whose outcome is unknown")
    .argument("<request>", "its id, or its code")
    .option("--ran", "you looked, and the change is there")
    .option("--did-not-run", "you looked, and nothing changed")
    .option("--message <words>", "how you know, for the record")
    .option("--as <person>", "who you are, where your OS account is not in the policy")
    .option("--yes", "do not ask on the terminal")
    .addHelpText(
      "after",
      `
After a crash, countersign never guesses whether a change was made. It asks the
backend where it can; where it can't, somebody has to look.

Example:
  $ countersign resolve req_01J --ran --message "release 42 is live"`,
    )
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const flags = flagsOf<ResolveFlags>(command);
          if ((flags.ran === true) === (flags.didNotRun === true)) {
            throw usage("say one of --ran and --did-not-run", "look at the backend first: it decides");
          }
          const request = await home.requests.find(String(command.processedArgs[0]));
          if (request.phase !== "unknown") {
            throw new CountersignError(
              "DECISION_REFUSED",
              `the outcome of ${request.id} is not unknown: it is ${request.phase}`,
              {
                hint: `see it: countersign show ${request.id}`,
              },
            );
          }
          const person = personHere(cli, home, flags.as);
          const words = flags.ran === true ? "it ran" : "it did not run";
          cli.terminal.out(neutralLine(`${request.tool}: ${request.summary ?? request.id}`));
          if (flags.yes !== true && !(await isSure(cli, words))) {
            cli.terminal.note("nothing was recorded");
            return 1;
          }
          const outcome = flags.ran === true ? "done" : "failed";
          await home.resolveUnknown(request.id, outcome, person, flags.message ?? words);
          cli.terminal.out(`recorded: ${words}, says ${neutralLine(person)}`);
          return 0;
        }),
      ),
    );
};

async function isSure(cli: Cli, words: string): Promise<boolean> {
  if (!cli.terminal.interactive) throw usage("this needs a terminal, or --yes");
  const answer = await cli.terminal.ask(`record that ${words}? [y/N] `);
  return answer !== null && /^y(es)?$/i.test(answer);
}
