import { neutralLine } from "../../base/text.ts";
import { CountersignError } from "../../errors.ts";
import { isClosedPhase } from "../../request/requests.ts";
import { flagsOf, type Cli } from "../context.ts";
import { erasureWords } from "../erasure-words.ts";
import { usage } from "../failure.ts";
import { personHere } from "../person-here.ts";
import type { AddCommand } from "../program.ts";

interface EraseFlags {
  readonly why?: string;
  readonly as?: string;
  readonly yes?: boolean;
}

export const addLogErase: AddCommand = (parent, cli, run) => {
  parent
    .command("erase")
    .description("erase what one ended request showed and said, for data protection")
    .argument("<request>", "its id, or its code")
    .option("--why <words>", "why, for the record; it stays for ever, so name nobody")
    .option("--as <person>", "who you are, where your OS account is not in the policy")
    .option("--yes", "do not ask on the terminal")
    .addHelpText(
      "after",
      `
Erases the documents beside the log: what was shown to approvers, the agent's
reasoning, arguments, policy input, result. The entries stay, with the digests
of what is gone and a new entry that says who erased it and why. It can't be
undone. Documents are erased by themselves after retention.records.

Example:
  $ countersign log erase req_01J --why "a customer asked for it"`,
    )
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const flags = flagsOf<EraseFlags>(command);
          const why = flags.why?.trim() ?? "";
          if (why === "") throw usage("say why", 'for the record: --why "a customer asked for it"');
          const request = await home.requests.find(String(command.processedArgs[0]));
          if (!isClosedPhase(request.phase)) {
            throw new CountersignError("ERASURE_REFUSED", `${request.id} is open: it is ${request.phase}`, {
              hint: "let it end first, or deny it: countersign deny",
            });
          }
          const person = personHere(cli, home, flags.as);
          cli.terminal.out(neutralLine(`${request.tool}: ${request.summary ?? request.id}`));
          if (flags.yes !== true && !(await isSure(cli, request.id))) {
            cli.terminal.note("nothing was erased");
            return 1;
          }
          const count = await home.records.erase(request.id, why, person);
          if (count > 0) {
            cli.terminal.out(
              `erased ${count} ${count === 1 ? "document" : "documents"}, says ${neutralLine(person)}`,
            );
            return 0;
          }
          const before = (await home.records.erasures(await home.requests.history(request.id))).at(-1);
          cli.terminal.out(
            before === undefined
              ? "it has no documents"
              : `its documents were ${erasureWords(before)} already`,
          );
          return 0;
        }),
      ),
    );
};

async function isSure(cli: Cli, request: string): Promise<boolean> {
  if (!cli.terminal.interactive) throw usage("this needs a terminal, or --yes");
  const answer = await cli.terminal.ask(`erase the documents of ${request} for ever? [y/N] `);
  return answer !== null && /^y(es)?$/i.test(answer);
}
