import { neutralLine } from "../../base/text.ts";
import { CountersignError } from "../../errors.ts";
import { personHere } from "../person-here.ts";
import { flagsOf } from "../context.ts";
import { openQuestion } from "../find-request.ts";
import type { AddCommand } from "../program.ts";

export const addAsk: AddCommand = (parent, cli, run) => {
  parent
    .command("ask")
    .description("ask the agent something about a request, before you decide")
    .argument("<request>", "its code, or its id")
    .argument("<words>", "your question; the agent reads it as it is")
    .option("--as <person>", "who you are, where your OS account is not in the policy")
    .addHelpText(
      "after",
      `
The agent is told at once where it waits, else when it next looks. Its answer
stands in "countersign show": a claim, which nobody has verified. Don't quote
what only the plan shows: the agent may not have been allowed to read it.

Example:
  $ countersign ask 8K2M4Q "why now, and not on Monday?"`,
    )
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const [reference, text] = command.processedArgs as [string, string];
          const open = await openQuestion(home, reference);
          const person = personHere(cli, home, flagsOf<{ as?: string }>(command).as);
          const { account } = cli.parts.around;
          const asked = await home.desk.inquire(open.request, {
            person,
            text,
            proof: { kind: "account", account, channel: "cli" },
          });
          if (!asked.ok) {
            const { code, message } = asked.error;
            throw new CountersignError("DECISION_REFUSED", `${message} (${code})`, {
              hint: `see what was asked: countersign show ${open.code}`,
            });
          }
          cli.terminal.out(`asked as ${neutralLine(person)}; see the answer: countersign show ${open.code}`);
          return 0;
        }),
      ),
    );
};
