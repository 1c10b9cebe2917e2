import { CommanderError } from "commander";
import { createCli } from "./context.ts";
import { printFailure } from "./failure.ts";
import type { CliParts } from "./parts.ts";
import { addMcp } from "./commands/mcp.ts";
import { isMcp } from "./is-mcp.ts";
import { buildProgram } from "./program.ts";
import { createTerminal } from "./terminal.ts";

/**
 * Runs one command line and gives its exit code: 0 done, 1 refused or failed, 2 usage or configuration.
 * @param argv the words after the program's name
 */
export async function runCli(argv: readonly string[], parts: CliParts): Promise<number> {
  // Colour is decided before parsing, because a usage error has to be printed in it too.
  const wishesColour = !argv.includes("--no-color");
  const terminal = createTerminal(parts.streams, { colour: wishesColour, env: parts.around.env });
  let exitCode = 0;
  const exit = (code: number): void => {
    exitCode = code;
  };
  try {
    const commands = isMcp(argv) ? { "": [addMcp] } : (await import("./every-command.ts")).COMMANDS;
    const program = buildProgram(createCli(parts, terminal), commands, exit);
    await program.parseAsync([...argv], { from: "user" });
    return exitCode;
  } catch (error) {
    // Help and version were printed; that is an answer, not a failure.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return printFailure(error, terminal);
  }
}
