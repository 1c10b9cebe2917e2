import { neutralLine } from "../../base/text.ts";
import { CountersignError } from "../../errors.ts";
import type { Settled } from "../../gate/home.ts";
import { settleInTerminal, signerHere } from "../sign-settlement.ts";
import { flagsOf, type Cli } from "../context.ts";
import { usage } from "../failure.ts";
import { personHere } from "../person-here.ts";
import type { AddCommand } from "../program.ts";

interface ResolveFlags {
  readonly ran?: boolean;
  readonly didNotRun?: boolean;
  readonly message?: string;
  readonly as?: string;
  readonly again?: boolean;
  readonly key?: string;
  readonly unsigned?: boolean;
  readonly yes?: boolean;
}

export const addResolve: AddCommand = (parent, cli, run) => {
  parent
    .command("resolve")
    .description("say what became of a request whose outcome is unknown")
    .argument("<request>", "its id, or its code")
    .option("--ran", "you looked, and the change is there")
    .option("--did-not-run", "you looked, and nothing changed")
    .option("--again", "with --did-not-run: ask for it again, as a new request")
    .option("--message <words>", "how you know, for the record")
    .option("--key <file>", "sign with this SSH key (else the one the policy knows)")
    .option("--as <person>", "who you are, where your OS account is not in the policy")
    .option("--unsigned", "sign nothing: the record says that the gateway's own account did it")
    .option("--yes", "do not ask on the terminal")
    .addHelpText(
      "after",
      `
After a crash, countersign never guesses whether a change was made. It asks the
backend where it can; where it can't, somebody has to look.

Your key signs what you say, where the policy knows one. Who could decide on the
request may settle it; neither its principal nor an owner of its agent may.

Example:
  $ countersign resolve req_01J --ran --message "release 42 is live"
  $ countersign resolve req_01J --did-not-run --again`,
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
          if (flags.again === true && (flags.ran === true || flags.unsigned === true)) {
            throw usage("--again goes with --did-not-run, and with a signature");
          }
          const signer = flags.unsigned === true ? null : await signerHere(cli, home, flags);
          if (signer === null && flags.again === true) {
            throw usage("--again needs a signature", "name your key: --key FILE");
          }
          const person = signer?.person ?? personHere(cli, home, flags.as);
          const words = flags.ran === true ? "it ran" : "it did not run";
          cli.terminal.out(neutralLine(`${request.tool}: ${request.summary ?? request.id}`));
          if (flags.yes !== true && !(await isSure(cli, words))) {
            cli.terminal.note("nothing was recorded");
            return 1;
          }
          const outcome = flags.ran === true ? "done" : "failed";
          const message = flags.message ?? words;
          if (signer === null) {
            await home.resolveUnknown(request.id, outcome, person, message);
            cli.terminal.out(`recorded: ${words}, says ${neutralLine(person)}`);
            cli.terminal.note("unsigned: the record says that the gateway's own account did it");
            return 0;
          }
          const again = flags.again === true;
          const settled = await settleInTerminal(cli, home, signer, {
            request: request.id,
            outcome,
            again,
            message,
          });
          cli.terminal.out(`recorded and signed: ${words}, says ${neutralLine(person)}`);
          if (again) cli.terminal.out(againWords(settled));
          return 0;
        }),
      ),
    );
};

const againWords = ({ again }: Settled): string => {
  if (again === null) return "the gateway asks for it again; see it: countersign pending";
  const id = again.status === "pending" ? again.ticket : again.request;
  return `asked for again: ${again.status}${id === null ? "" : `, countersign show ${id}`}`;
};

async function isSure(cli: Cli, words: string): Promise<boolean> {
  if (!cli.terminal.interactive) throw usage("this needs a terminal, or --yes");
  const answer = await cli.terminal.ask(`record that ${words}? [y/N] `);
  return answer !== null && /^y(es)?$/i.test(answer);
}
