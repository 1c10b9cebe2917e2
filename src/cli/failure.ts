import type { CommanderError, Command } from "commander";
import { neutralise, neutralLine } from "../base/text.ts";
import { CountersignError, isFault } from "../errors.ts";
import type { Terminal } from "./terminal.ts";

// Exit codes: 0 done · 1 refused, or a check that failed · 2 the command or the configuration is wrong.

const USAGE_CODES: ReadonlySet<string> = new Set([
  "USAGE",
  "CONFIG_INVALID",
  "HOME_NOT_FOUND",
  "HOME_INSECURE",
  "HOST_CONFIG_INVALID",
]);

/** The command line was called in a way it does not understand. */
export const usage = (message: string, hint?: string): CountersignError =>
  new CountersignError("USAGE", message, hint === undefined ? {} : { hint });

/** A parse error of the argument parser, in our words. */
export function usageOf(error: CommanderError, command: Command): CountersignError {
  const [said = "", ...rest] = error.message.split("\n");
  const meant = /^\(Did you mean (?:one of )?(.+)\?\)$/.exec(rest.join(" "))?.[1];
  const path = commandPath(command);
  const hint = meant === undefined ? `see: ${path} --help` : `did you mean ${meant}? see: ${path} --help`;
  return usage(said.replace(/^error: /, "").replaceAll("'", '"'), hint);
}

/** `countersign policy check`: how to call a command. */
export function commandPath(command: Command): string {
  const names: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) names.unshift(at.name());
  return names.join(" ");
}

/** Prints what went wrong, one `error:` line and its `hint:`, and gives the exit code. */
export function printFailure(error: unknown, terminal: Terminal): number {
  const { red, dim } = terminal.paint;
  if (!isFault(error)) {
    // Not a fault of ours that has a code: a bug, or the machine. Say what is known and where to take it.
    const said = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    terminal.note(`${red("error:")} ${neutralLine(said)} (UNEXPECTED)`);
    terminal.note(
      `${dim("hint:")} this is a bug in countersign, or a broken machine; set COUNTERSIGN_LOG_LEVEL=debug and report it`,
    );
    return 1;
  }
  const list = error.details["errors"];
  const all = Array.isArray(list) ? list.map(String) : [];
  const message = all.length > 1 ? `${all.length} mistakes` : error.message;
  terminal.note(`${red("error:")} ${neutralLine(message)} (${error.code})`);
  if (all.length > 1) for (const one of all) terminal.note(`  ${neutralLine(one)}`);
  if (error.hint !== undefined) {
    for (const line of neutralise(error.hint).text.split("\n")) terminal.note(`${dim("hint:")} ${line}`);
  }
  return USAGE_CODES.has(error.code) ? 2 : 1;
}
