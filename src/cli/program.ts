import { Command } from "commander";
import type { Cli } from "./context.ts";
import { usageOf } from "./failure.ts";

/** Registers one command below `parent`. `run` reports the exit code of an action. */
export type AddCommand = (parent: Command, cli: Cli, run: RunAction) => void;

/** Wraps an action: its number is the exit code of the process. */
export type RunAction = (
  action: (command: Command) => Promise<number>,
) => (...args: unknown[]) => Promise<void>;

/** The command tree. `groups`: the commands below their headings, in the order of the help. */
export function buildProgram(
  cli: Cli,
  groups: Readonly<Record<string, readonly AddCommand[]>>,
  exit: (code: number) => void,
): Command {
  const { parts, terminal } = cli;
  const run: RunAction =
    (action) =>
    async (...args) =>
      exit(await action(args.at(-1) as Command));
  const program = new Command("countersign")
    .description("A person's countersignature on exactly what an AI agent is about to run.")
    .usage("[--home DIR] <command>")
    .version(parts.version, "-V, --version", "print the version")
    .option("--home <dir>", "the home to work on (else COUNTERSIGN_HOME, else the nearest countersign.yaml)")
    .option("--no-color", "no colour (NO_COLOR does the same)")
    .helpOption("-h, --help", "print this, or a command's own help")
    .helpCommand(false)
    .addHelpText("after", "\nExample:\n  $ countersign pending\n  $ countersign approve 8K2M4Q")
    .configureHelp({ showGlobalOptions: true, subcommandTerm: termOf })
    .configureOutput({
      writeOut: (text) => terminal.out(text.replace(/\n$/, "")),
      writeErr: (text) => terminal.note(text.replace(/\n$/, "")),
      outputError: () => undefined,
      getOutHelpWidth: () => terminal.width,
      getErrHelpWidth: () => terminal.width,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  for (const [heading, group] of Object.entries(groups)) {
    program.commandsGroup(heading);
    for (const add of group) add(program, cli, run);
  }
  overrideExits(program);
  return program;
}

/** A command in a listing: its name and what it takes, without the word that says it has flags. */
const termOf = (command: Command): string =>
  [
    command.name(),
    ...command.registeredArguments.map((one) => (one.required ? `<${one.name()}>` : `[${one.name()}]`)),
  ].join(" ");

/** Parse errors become faults that name the command they belong to. */
function overrideExits(command: Command): void {
  command.exitOverride((error) => {
    // "commander.help": a command was called without the word that it needs; its help was printed on standard error.
    throw error.exitCode === 0 || error.code === "commander.help" ? error : usageOf(error, command);
  });
  for (const child of command.commands) overrideExits(child);
}
