import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";

export const addDemo: AddCommand = (parent, cli, run) => {
  parent
    .command("demo")
    .description("watch an agent ask, a person answer and the log prove it, in a throwaway home")
    .option("--auto", "play the person too: nothing is asked")
    .addHelpText("after", "\nExample:\n  $ countersign demo\n  $ countersign demo --auto")
    .action(
      run((command) => {
        const auto = flagsOf<{ auto?: boolean }>(command).auto === true;
        // Without a terminal there is nobody to play the person.
        return cli.parts.serve({ kind: "demo", auto: auto || !cli.terminal.interactive });
      }),
    );
};
