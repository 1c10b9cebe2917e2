import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";
import { headLine, toolLine, withUpstreams } from "../upstream-words.ts";

export const addUpstreamList: AddCommand = (parent, cli, run) => {
  parent
    .command("list")
    .description("the fronted servers and their tools, and which are accepted")
    .argument("[alias]", "only this one")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExample:\n  $ countersign upstream list\n  $ countersign upstream list files --json",
    )
    .action(
      run(async (command) => {
        const settings = await cli.settings(flagsOf(command), { exists: false });
        const alias = command.processedArgs[0] as string | undefined;
        return withUpstreams(cli, settings, alias, async (live) => {
          const all = await live.compare(alias ?? null);
          if (flagsOf<{ json?: boolean }>(command).json === true) cli.terminal.json({ upstreams: all });
          else {
            if (all.length === 0) cli.terminal.out("no server is fronted: docs/upstream.md says how");
            for (const one of all) {
              cli.terminal.out(headLine(one));
              for (const tool of one.tools) cli.terminal.out(`  ${toolLine(tool)}`);
            }
          }
          return all.some(({ unreached }) => unreached !== null) ? 1 : 0;
        });
      }),
    );
};
