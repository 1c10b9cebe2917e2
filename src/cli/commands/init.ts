import { neutralLine } from "../../base/text.ts";
import type { Settings } from "../../config/settings.ts";
import { flagsOf, type Cli } from "../context.ts";
import { initAnswers, type InitAnswers, type InitFlags } from "../init-answers.ts";
import { finishHome, stateOf, writeHome } from "../make-home.ts";
import type { NewHome } from "../parts.ts";
import type { AddCommand } from "../program.ts";

export const addInit: AddCommand = (parent, cli, run) => {
  parent
    .command("init")
    .description("make a home: you as the first approver, an agent, a policy, a log")
    .option("--person <id>", "your id in the policy")
    .option("--name <name>", "your name, as others see it")
    .option("--key <file>", "the SSH key you will approve with; new makes one")
    .option("--user-verified", "the key is an sk- key that asks for a PIN (A3)")
    .option("--agent <id>", "the agent's id")
    .option("--solo", "you are alone with the agent, and may approve what it asks")
    .option("--team", "you are not: others approve what your agent asks")
    .option("--approver <id=key>", "who does: their id, and a .pub file or SHA256:... of theirs")
    .option("--service <name>", "register a service that agents may deploy")
    .option("--repository <url>", "its git repository")
    .option("--environment <name>", "its environment, such as prod")
    .option("--releases <dir>", "directory for its releases")
    .option("--yes", "ask nothing; every answer is a flag")
    .addHelpText(
      "after",
      `
Makes a new home and never changes one: people and rules are added in
policy.yaml, then adopted. Run it before any host is registered.

Example:
  $ countersign init --home ~/countersign`,
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<InitFlags>(command);
        const { home } = await cli.settings(flags, { exists: false });
        const settings = (): Promise<Settings> => cli.settings({ home }, { exists: false });
        if ((await stateOf(home)) === "begun") {
          const made = await finishHome(cli, await settings());
          cli.terminal.note(`finished the home that was begun at ${neutralLine(home)}`);
          reportMade(cli, home, made);
          return 0;
        }
        if (cli.terminal.interactive && flags.yes !== true)
          cli.terminal.note(`a new home at ${neutralLine(home)}`);
        const answers = await initAnswers(cli, flags);
        await writeHome(cli, home, answers);
        reportMade(cli, home, await finishHome(cli, await settings()));
        reportNext(cli, home, answers);
        return 0;
      }),
    );
};

function reportMade(cli: Cli, home: string, made: NewHome): void {
  const { terminal } = cli;
  terminal.out(`${terminal.paint.green("made")} ${neutralLine(home)}`);
  terminal.out(`  log ${made.log}, policy revision ${made.revision}`);
  terminal.out("");
  terminal.out("keep this key somewhere else; receipts are checked against it:");
  terminal.out(`  ${made.key}`);
}

function reportNext(cli: Cli, home: string, answers: InitAnswers): void {
  const { terminal } = cli;
  const shown = neutralLine(home);
  terminal.out("");
  terminal.out(
    `${answers.person} approves with ${answers.key.fingerprint}${answers.solo ? ", alone (solo)" : ""}`,
  );
  terminal.out("next:");
  terminal.out(`  countersign start --home ${shown}`);
  terminal.out(`  countersign install --home ${shown} --agent ${answers.agent} --host <host>`);
  terminal.out(`  agents over HTTP: the bearer token in ${shown}/data/keys/mcp.token`);
  if (answers.solo && !answers.userVerified) {
    terminal.out(
      terminal.paint.yellow(
        "your key needs a passphrase, or approving alone is refused: ssh-keygen -p -f KEY",
      ),
    );
  }
}
