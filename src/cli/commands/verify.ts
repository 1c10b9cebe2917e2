import { readFile } from "node:fs/promises";
import { neutralLine } from "../../base/text.ts";
import { flagsOf } from "../context.ts";
import { usage } from "../failure.ts";
import { printFindings } from "../print-findings.ts";
import { renderReceipt } from "../render-receipt.ts";
import type { AddCommand } from "../program.ts";

export const addVerify: AddCommand = (parent, cli, run) => {
  parent
    .command("verify")
    .description("check a receipt offline: needs no home, no network and no trust in who sent it")
    .argument("<receipt>", "a file that countersign log receipt wrote")
    .option("--key <key>", "the log's verifier key, from somewhere else than the receipt")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExample:\n  $ countersign verify receipt.json --key countersign.dev/log_01J+3f2a+AbCd",
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<{ key?: string; json?: boolean }>(command);
        const file = String(command.processedArgs[0]);
        const text = await readFile(file, "utf8").catch(() => {
          throw usage(
            `${neutralLine(file)} cannot be read`,
            "name a receipt: countersign log receipt CODE -o FILE",
          );
        });
        const report = await cli.parts.logTools.verifyReceipt(
          text,
          flags.key === undefined ? {} : { key: flags.key },
        );
        const { terminal } = cli;
        if (flags.json === true) {
          terminal.json(report);
          return report.ok ? 0 : 1;
        }
        printFindings(terminal, report.findings);
        if (report.summary !== null) {
          for (const line of renderReceipt(report.summary)) terminal.out(line);
        }
        const subject = `the receipt of ${neutralLine(report.request ?? "an unknown request")}`;
        terminal.out(
          report.ok
            ? terminal.paint.green(`${subject} proves what it says`)
            : terminal.paint.red(`${subject} does not prove what it says`),
        );
        if (report.key !== null) terminal.out(`checked with ${neutralLine(report.key)}`);
        if (flags.key === undefined) {
          terminal.out(
            terminal.paint.yellow("that key came with the receipt; compare it with one you trust: --key KEY"),
          );
        }
        return report.ok ? 0 : 1;
      }),
    );
};
