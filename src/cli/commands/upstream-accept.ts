import { flagsOf } from "../context.ts";
import { usage } from "../failure.ts";
import type { AddCommand } from "../program.ts";
import { changeLines, differs, headLine, toolLine, withUpstreams } from "../upstream-words.ts";

export const addUpstreamAccept: AddCommand = (parent, cli, run) => {
  parent
    .command("accept")
    .description("take definitions over into tools.lock.json")
    .argument("[alias]", "only of this server")
    .argument("[tool...]", "only these tools of it")
    .option("--yes", "do not ask on the terminal")
    .option("--json", "print JSON; needs --yes")
    .addHelpText(
      "after",
      `
Shows what is new, changed or gone, asks, and writes the file beside
countersign.yaml. What agents can call changes when the file is adopted:
countersign policy adopt.

Example:
  $ countersign upstream accept
  $ countersign upstream accept files write_file edit_file`,
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<{ yes?: boolean; json?: boolean }>(command);
        const { terminal } = cli;
        if (flags.yes !== true && (flags.json === true || !terminal.interactive)) {
          throw usage("accepting needs a terminal, or --yes", "look first: countersign upstream diff");
        }
        const settings = await cli.settings(flagsOf(command), { exists: false });
        const [alias, tools] = command.processedArgs as [string | undefined, readonly string[]];
        return withUpstreams(cli, settings, alias, async (live) => {
          const all = await live.compare(alias ?? null);
          const known = new Set(all.flatMap((one) => one.tools.map(({ tool }) => tool)));
          const unknown = tools.find((tool) => !known.has(tool));
          if (unknown !== undefined) {
            throw usage(
              `${alias ?? ""} lists no tool "${unknown.slice(0, 128)}"`,
              "see: countersign upstream list",
            );
          }
          const wanted = all
            .flatMap((one) => one.tools)
            .filter((tool) => differs(tool) && (tools.length === 0 || tools.includes(tool.tool)));
          if (flags.json !== true) {
            for (const one of all) terminal.out(headLine(one));
            for (const tool of wanted) {
              terminal.out(`  ${toolLine(tool)}`);
              for (const line of changeLines(tool)) terminal.out(`  ${line}`);
            }
          }
          const isUnreached = all.some(({ unreached }) => unreached !== null);
          if (wanted.length > 0 && flags.yes !== true) {
            const answer = await terminal.ask(`accept ${wanted.length} of them as they are shown? [y/N] `);
            if (answer === null || !/^y(es)?$/i.test(answer)) {
              terminal.note("nothing was written");
              return 1;
            }
          }
          const file = wanted.length === 0 ? null : await live.accept(wanted);
          if (flags.json === true) {
            terminal.json({
              file,
              accepted: wanted.map(({ name, state, listed }) => ({ name, state, listed })),
            });
          } else if (file === null) terminal.out("nothing to accept");
          else {
            terminal.out(`${wanted.length} written to ${file}`);
            terminal.note("agents can call them once it is adopted: countersign policy adopt");
          }
          return isUnreached ? 1 : 0;
        });
      }),
    );
};
