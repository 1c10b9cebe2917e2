import { formatDuration } from "../../base/duration.ts";
import { table, wrap } from "../../base/terminal.ts";
import { neutralLine } from "../../base/text.ts";
import type { PendingQuestion } from "../../consent/desk.ts";
import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";

export const addPending: AddCommand = (parent, cli, run) => {
  parent
    .command("pending")
    .description("list what waits for people, nearest deadline first")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ countersign pending\n  $ countersign pending --json")
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const { terminal, parts } = cli;
          const pending = home.desk.pending();
          if (flagsOf<{ json?: boolean }>(command).json === true) {
            terminal.json(pending.map(pendingJson));
            return 0;
          }
          if (pending.length === 0) {
            terminal.out("nothing waits for people");
            return 0;
          }
          const rows = pending.map((one) => [
            one.code,
            formatDuration(Math.max(0, one.deadline - parts.clock.now())),
            waitingFor(one),
            neutralLine(`${one.question.requester.agent} for ${one.question.requester.principal.id}`),
          ]);
          const columns = [
            { title: "CODE", paint: terminal.paint.bold },
            { title: "LEFT", align: "right" as const },
            { title: "NEEDS" },
            { title: "AGENT", flexible: true },
          ];
          // What it is about stands under each line, whole: nobody should have to open a request to know it.
          const [head = "", ...lines] = table(columns, rows, terminal.width);
          terminal.out(head);
          for (const [i, line] of lines.entries()) {
            terminal.out(line);
            for (const what of wrap(neutralLine(pending[i]?.summary ?? ""), terminal.width - INDENT)) {
              terminal.out(`${" ".repeat(INDENT)}${what}`);
            }
          }
          return 0;
        }),
      ),
    );
};

const INDENT = 8;

/** `1 of 2 sre`: what is still missing, clause by clause. */
function waitingFor(one: PendingQuestion): string {
  return one.quorum.clauses
    .filter(({ missing }) => missing > 0)
    .map(({ clause, missing }) =>
      neutralLine(`${missing} of ${clause.count} ${clause.from.join("/")} ${clause.assurance}`),
    )
    .join(", ");
}

const pendingJson = (one: PendingQuestion): object => ({
  request: one.request,
  code: one.code,
  digest: one.digest,
  summary: one.summary,
  tool: one.question.tool,
  targets: one.question.targets,
  requester: one.question.requester,
  deadline: new Date(one.deadline).toISOString(),
  clauses: one.quorum.clauses.map(({ clause, by, missing }) => ({ ...clause, by, missing })),
});
