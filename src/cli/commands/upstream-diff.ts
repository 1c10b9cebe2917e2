import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";
import { changeLines, differs, headLine, toolLine, withUpstreams } from "../upstream-words.ts";

export const addUpstreamDiff: AddCommand = (parent, cli, run) => {
  parent
    .command("diff")
    .description("what servers list now that is not what was accepted")
    .argument("[alias]", "only this one")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Ends with 1 where something differs or a server is not reached.

Example:
  $ countersign upstream diff
  $ countersign upstream diff files --json`,
    )
    .action(
      run(async (command) => {
        const settings = await cli.settings(flagsOf(command), { exists: false });
        const alias = command.processedArgs[0] as string | undefined;
        return withUpstreams(cli, settings, alias, async (live) => {
          const all = await live.compare(alias ?? null);
          const isDifferent = all.some((one) => one.unreached !== null || one.tools.some(differs));
          if (flagsOf<{ json?: boolean }>(command).json === true) {
            const only = all.map((one) => ({ ...one, tools: one.tools.filter(differs) }));
            cli.terminal.json({ differs: isDifferent, upstreams: only });
            return isDifferent ? 1 : 0;
          }
          for (const one of all) {
            const tools = one.tools.filter(differs);
            if (tools.length === 0 && one.unreached === null) continue;
            cli.terminal.out(headLine(one));
            for (const tool of tools) {
              cli.terminal.out(`  ${toolLine(tool)}`);
              for (const line of changeLines(tool)) cli.terminal.out(`  ${line}`);
            }
          }
          if (!isDifferent) cli.terminal.out("everything that is listed is accepted");
          else cli.terminal.note("take it over: countersign upstream accept");
          return isDifferent ? 1 : 0;
        });
      }),
    );
};
