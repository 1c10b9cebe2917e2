import { InvalidArgumentError } from "commander";
import { formatDuration } from "../../base/duration.ts";
import { table, wrap } from "../../base/terminal.ts";
import { neutralLine } from "../../base/text.ts";
import { flagsOf } from "../context.ts";
import { paintPhase } from "../paint-phase.ts";
import type { AddCommand } from "../program.ts";

const INDENT = 8;

export const addRequests: AddCommand = (parent, cli, run) => {
  parent
    .command("requests")
    .description("list requests, newest first, whatever became of them")
    .option("-n, --limit <count>", "how many at most", parseCount, 20)
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ countersign requests --limit 50\n  $ countersign requests --json")
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const { terminal, parts } = cli;
          const flags = flagsOf<{ json?: boolean; limit: number }>(command);
          const requests = home.requests.list(flags.limit);
          if (flags.json === true) {
            terminal.json(
              requests.map(({ receivedAt, updatedAt, ...rest }) => ({
                ...rest,
                receivedAt: new Date(receivedAt).toISOString(),
                updatedAt: new Date(updatedAt).toISOString(),
              })),
            );
            return 0;
          }
          if (requests.length === 0) {
            terminal.out("no request yet");
            return 0;
          }
          const rows = requests.map((one) => [
            one.reasonCode === null ? one.phase : neutralLine(`${one.phase}: ${one.reasonCode}`),
            one.code ?? "",
            formatDuration(Math.max(0, parts.clock.now() - one.receivedAt)),
            neutralLine(`${one.agent} for ${one.principal}`),
          ]);
          const columns = [
            { title: "STATE", paint: (cell: string) => paintPhase(cell, terminal.paint) },
            { title: "CODE" },
            { title: "AGE", align: "right" as const },
            { title: "AGENT", flexible: true },
          ];
          const [head = "", ...lines] = table(columns, rows, terminal.width);
          terminal.out(head);
          for (const [i, line] of lines.entries()) {
            terminal.out(line);
            const what = neutralLine(requests[i]?.summary ?? requests[i]?.tool ?? "");
            for (const piece of wrap(what, terminal.width - INDENT))
              terminal.out(`${" ".repeat(INDENT)}${piece}`);
          }
          return 0;
        }),
      ),
    );
};

/** A positive whole number on the command line. */
export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new InvalidArgumentError("expected a number from 1 to 999999");
  return Number(text);
}
