import { flagsOf } from "../context.ts";
import { localZone } from "../moment.ts";
import type { AddCommand } from "../program.ts";
import { renderEntry } from "../render-history.ts";
import { parseCount } from "./requests.ts";

export const addLogList: AddCommand = (parent, cli, run) => {
  parent
    .command("list")
    .description("the newest entries, oldest of them first")
    .option("-n, --limit <count>", "how many at most", parseCount, 20)
    .option("--request <request>", "only the entries of this request")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExample:\n  $ countersign log list --limit 50\n  $ countersign log list --request 8K2M4Q --json",
    )
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const flags = flagsOf<{ limit: number; request?: string; json?: boolean }>(command);
          const entries =
            flags.request === undefined
              ? (await home.store.newestEntries(flags.limit)).toReversed()
              : (await home.requests.history((await home.requests.find(flags.request)).id)).slice(
                  -flags.limit,
                );
          const { terminal } = cli;
          if (flags.json === true) terminal.json(entries);
          else {
            const options = { paint: terminal.paint, width: terminal.width, zone: localZone() };
            for (const entry of entries) for (const line of renderEntry(entry, options)) terminal.out(line);
          }
          return 0;
        }),
      ),
    );
};
