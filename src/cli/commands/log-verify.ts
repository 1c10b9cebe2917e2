import { open } from "node:fs/promises";
import { join } from "node:path";
import { neutralLine } from "../../base/text.ts";
import { flagsOf } from "../context.ts";
import { printFindings } from "../print-findings.ts";
import type { AddCommand } from "../program.ts";
import { readCheckpoints } from "../read-checkpoints.ts";

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
    .option(
      "--against <path...>",
      "checkpoints that were kept elsewhere, or a witness's place; the log has to extend each",
    )
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Works on the files alone, also on a copy, and changes nothing.

Example:
  $ countersign log verify
  $ countersign log verify --against checkpoint-of-last-month
  $ countersign log verify --against /mnt/backup/witness`,
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<VerifyFlags>(command);
        const settings = await cli.settings(flagsOf(command), { exists: true });
        const directory = join(settings.dataDir, "log");
        const log = await logIdOf(directory);
        const kept = await Promise.all((flags.against ?? []).map((path) => readCheckpoints(path, log)));
        const against = kept.flat();
        const report = await cli.parts.logTools.verifyLog(directory, {
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
        if (against.length > 0) terminal.out(`compared with ${against.length} kept elsewhere`);
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

/** The id that entry 0 names; null where there is none: the report says what is wrong with it. */
async function logIdOf(directory: string): Promise<string | null> {
  const file = await open(join(directory, "000001.jsonl"), "r").catch(() => null);
  if (file === null) return null;
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(4_096), 0, 4_096, 0);
    return /"log":"(log_[0-9A-Z]{26})"/.exec(buffer.toString("latin1", 0, bytesRead))?.[1] ?? null;
  } finally {
    await file.close();
  }
}
