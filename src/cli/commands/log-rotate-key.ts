import { neutralLine } from "../../base/text.ts";
import { flagsOf } from "../context.ts";
import { usage } from "../failure.ts";
import type { AddCommand } from "../program.ts";

export const addLogRotateKey: AddCommand = (parent, cli, run) => {
  parent
    .command("rotate-key")
    .description("put a new signing key of the log in force; the old one signs that it follows")
    .option("--yes", "do not ask on the terminal")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The rotation is an entry that both keys sign. Whoever verifies follows the keys
from entry 0, so receipts and checkpoints from before stay good. A running
gateway takes up the new key by itself. The old private key is gone afterwards.

If the old key may have been read, give the new verifier key to whoever
verifies: with the old one alone, a thief's log looks as good as yours.

Example:
  $ countersign log rotate-key
  $ countersign log rotate-key --yes --json`,
    )
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const flags = flagsOf<{ yes?: boolean; json?: boolean }>(command);
          const { terminal } = cli;
          if (flags.yes !== true) {
            if (!terminal.interactive) {
              throw usage("rotating a key is asked for on a terminal", "run it in one, or pass --yes");
            }
            terminal.note(`The log of ${neutralLine(home.settings.home)} gets a new signing key.`);
            const answer = await terminal.ask("Rotate it now? [y/N] ");
            if (answer === null || !/^y(es)?$/i.test(answer)) {
              terminal.note("nothing was changed");
              return 1;
            }
          }
          const { from, to, seq } = await home.rotateLogKey();
          if (flags.json === true) {
            terminal.json({ from, to, seq });
            return 0;
          }
          terminal.out(`entry ${seq} puts a new key in force`);
          terminal.out(`old: ${neutralLine(from)}`);
          terminal.out(`new: ${neutralLine(to)}`);
          terminal.out("Keep the new one somewhere else than on this machine, and tell whoever verifies.");
          return 0;
        }),
      ),
    );
};
