import { writeFile } from "node:fs/promises";
import { neutralLine } from "../../base/text.ts";
import { flagsOf } from "../context.ts";
import { usage } from "../failure.ts";
import type { AddCommand } from "../program.ts";

export const addLogReceipt: AddCommand = (parent, cli, run) => {
  parent
    .command("receipt")
    .description("write what proves one request to anyone, offline")
    .argument("<request>", "its code, or its id")
    .option("-o, --output <file>", "where to write it (else standard output)")
    .addHelpText(
      "after",
      "\nExample:\n  $ countersign log receipt 8K2M4Q -o receipt.json\n  $ countersign verify receipt.json",
    )
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const { output } = flagsOf<{ output?: string }>(command);
          const request = await home.requests.find(String(command.processedArgs[0]));
          const receipt = await cli.parts.logTools.buildReceipt(home, request.id);
          if (output === undefined) {
            // A receipt holds documents that people were shown. On a screen they would act; in a file they do not.
            if (cli.parts.streams.stdout.isTTY === true)
              throw usage("a receipt is for a file, not for a screen", "name one: -o receipt.json");
            cli.parts.streams.stdout.write(receipt);
            return 0;
          }
          await writeFile(output, receipt, { flag: "wx", mode: 0o600 }).catch(
            (cause: NodeJS.ErrnoException) => {
              throw usage(
                `${neutralLine(output)} ${cause.code === "EEXIST" ? "exists already" : "cannot be written"}`,
                "name another file",
              );
            },
          );
          cli.terminal.out(
            `wrote ${neutralLine(output)}; check it anywhere: countersign verify ${neutralLine(output)}`,
          );
          return 0;
        }),
      ),
    );
};
