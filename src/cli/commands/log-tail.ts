import type { Entry } from "../../log/entry.ts";
import { flagsOf } from "../context.ts";
import { localZone } from "../moment.ts";
import type { AddCommand } from "../program.ts";
import { pause } from "../pause.ts";
import { renderEntry } from "../render-history.ts";
import { parseCount } from "./requests.ts";

/** How often the log is read for entries of other processes. */
const LOOK_EVERY_MS = 500;

export const addLogTail: AddCommand = (parent, cli, run) => {
  parent
    .command("tail")
    .description("follow the log until interrupted")
    .option("-n, --limit <count>", "how many entries to begin with", parseCount, 10)
    .option("--json", "print JSON, one entry a line")
    .addHelpText("after", "\nExample:\n  $ countersign log tail\n  $ countersign log tail --json")
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const { terminal, parts } = cli;
          const flags = flagsOf<{ limit: number; json?: boolean }>(command);
          const options = { paint: terminal.paint, width: terminal.width, zone: localZone() };
          const print = (entry: Entry): void => {
            if (flags.json === true) terminal.json(entry, { indent: 0 });
            else for (const line of renderEntry(entry, options)) terminal.out(line);
          };
          // Followed before the newest are read: what arrives in between is printed once, by its number.
          const waiting: Entry[] = [];
          const stop = home.store.follow((entries) => void waiting.push(...entries));
          try {
            let next = 0;
            const drain = (entries: readonly Entry[]): void => {
              for (const entry of entries) {
                if (entry.seq < next) continue;
                print(entry);
                next = entry.seq + 1;
              }
            };
            drain((await home.store.newestEntries(flags.limit)).toReversed());
            while (!parts.interrupted.aborted) {
              await home.store.catchUp();
              drain(waiting.splice(0));
              await pause(LOOK_EVERY_MS, parts.interrupted);
            }
          } finally {
            stop();
          }
          return 0;
        }),
      ),
    );
};
