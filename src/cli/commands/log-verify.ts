import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { neutralLine } from "../../base/text.ts";
import { flagsOf } from "../context.ts";
import { usage } from "../failure.ts";
import { printFindings } from "../print-findings.ts";
import type { AddCommand } from "../program.ts";

interface VerifyFlags {
  readonly key?: string;
  readonly against?: readonly string[];
  readonly json?: boolean;
}

export const addLogVerify: AddCommand = (parent, cli, run) => {
  parent
    .command("verify")
    .description("read the whole log again: every hash, signature, decision, and the order of things")
    .option("--key <key>", "the log's verifier key, from somewhere else than this machine")
    .option("--against <file...>", "checkpoints that were kept elsewhere; the log has to extend each")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Works on the files alone, also on a copy, and changes nothing.

Example:
  $ countersign log verify
  $ countersign log verify --against checkpoint-of-last-month`,
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<VerifyFlags>(command);
        const settings = await cli.settings(flagsOf(command), { exists: true });
        const against = await Promise.all((flags.against ?? []).map(readNote));
        const report = await cli.parts.logTools.verifyLog(join(settings.dataDir, "log"), {
          ...(flags.key === undefined ? {} : { key: flags.key }),
          against,
        });
        const { terminal } = cli;
        if (flags.json === true) {
          terminal.json(report);
          return report.ok ? 0 : 1;
        }
        printFindings(terminal, report.findings);
        if (report.unlisted > 0) terminal.out(`and ${report.unlisted} more`);
        terminal.out(`${report.entries} entries, ${report.requests} requests, ${report.decisions} decisions`);
        if (report.checkpoint !== null) {
          terminal.out(`signed: ${report.checkpoint.size} entries, root ${report.checkpoint.root}`);
        }
        if (report.key !== null) terminal.out(`key:    ${neutralLine(report.key)}`);
        terminal.out(
          report.ok
            ? terminal.paint.green("the log is what was signed")
            : terminal.paint.red("the log is not what was signed"),
        );
        return report.ok ? 0 : 1;
      }),
    );
};

async function readNote(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch {
    throw usage(`${neutralLine(file)} cannot be read`, "name a file that holds a signed checkpoint");
  }
}
