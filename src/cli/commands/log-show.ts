import { InvalidArgumentError } from "commander";
import { CountersignError } from "../../errors.ts";
import type { AddCommand } from "../program.ts";

export const addLogShow: AddCommand = (parent, cli, run) => {
  parent
    .command("show")
    .description("one entry, whole, as JSON")
    .argument("<seq>", "its number, as countersign log list shows it", parseSeq)
    .addHelpText("after", "\nExample:\n  $ countersign log show 42")
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const seq = command.processedArgs[0] as number;
          const { size } = home.store.head();
          if (seq < size) {
            for await (const line of home.store.lines(seq)) {
              if (line.seq !== seq) break;
              cli.terminal.json(JSON.parse(Buffer.from(line.bytes).toString("utf8")));
              return 0;
            }
          }
          throw new CountersignError("REQUEST_NOT_FOUND", `no entry ${seq}: the log ends at ${size - 1}`, {
            hint: "see the newest: countersign log list",
          });
        }),
      ),
    );
};

function parseSeq(text: string): number {
  if (!/^#?\d{1,15}$/.test(text)) throw new InvalidArgumentError("expected an entry's number, such as 42");
  return Number(text.replace("#", ""));
}
