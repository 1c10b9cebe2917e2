import { neutralLine } from "../../base/text.ts";
import { programEnv } from "../../config/environment.ts";
import { locateHome } from "../../config/locate-home.ts";
import type { Settings } from "../../config/settings.ts";
import { runProgram } from "../../consent/channels/cli/run-program.ts";
import type { Status } from "../../doctor/check.ts";
import { CHECKS } from "../../doctor/checks.ts";
import { examine, type Examined } from "../../doctor/examine.ts";
import { createPatient } from "../../doctor/patient.ts";
import { isFault, type CountersignError } from "../../errors.ts";
import { flagsOf, type Cli } from "../context.ts";
import type { AddCommand } from "../program.ts";
import type { Terminal } from "../terminal.ts";

const PROGRAM_MS = 10_000;

export const addDoctor: AddCommand = (parent, cli, run) => {
  parent
    .command("doctor")
    .description("look at everything that could be wrong with a home; changes nothing")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Each line is ok, warn or fail, with the next step. It ends with 1 where
anything failed.

Example:
  $ countersign doctor
  $ countersign doctor --home /srv/countersign --json`,
    )
    .action(
      run(async (command) => {
        const { parts, terminal } = cli;
        const flags = flagsOf<{ json?: boolean }>(command);
        const located = await locateHome(flags.home, parts.around, terminal.interactive);
        const configured = await settingsOf(cli, flags);
        const env = programEnv(parts.around);
        const tools = configured.settings === null ? undefined : await parts.toolFacts?.(configured.settings);
        const patient = createPatient({
          version: parts.version,
          around: parts.around,
          clock: parts.clock,
          ...located,
          ...configured,
          readRegistrations: (settings) => parts.readRegistrations(settings),
          loadPolicy: (text, file) => parts.policyTools.load(text, file, tools),
          run: (program, args) =>
            runProgram(program, args, { env, timeoutMs: PROGRAM_MS }).catch(
              (error: NodeJS.ErrnoException) => {
                if (error.code === "ENOENT") return null;
                throw error;
              },
            ),
        });
        const diagnosis = await examine(patient, [...CHECKS, ...(await parts.toolChecks())]);
        if (flags.json === true) terminal.json({ home: located.home, ...diagnosis });
        else print(terminal, diagnosis.findings);
        return diagnosis.status === "fail" ? 1 : 0;
      }),
    );
};

/** A configuration that does not load is what the doctor is for. */
async function settingsOf(
  cli: Cli,
  flags: object,
): Promise<{ readonly settings: Settings | null; readonly configFault: CountersignError | null }> {
  try {
    return { settings: await cli.settings(flags, { exists: false }), configFault: null };
  } catch (error) {
    if (!isFault(error)) throw error;
    return { settings: null, configFault: error };
  }
}

function print({ paint, out }: Terminal, findings: readonly Examined[]): void {
  const width = Math.max(...findings.map(({ check }) => check.length));
  const painted: Record<Status, (text: string) => string> = {
    ok: paint.green,
    warn: paint.yellow,
    fail: paint.red,
  };
  for (const { check, status, says, next } of findings) {
    out(`${painted[status](status.padEnd(4))}  ${check.padEnd(width)}  ${neutralLine(says)}`);
    if (next !== undefined) out(`${" ".repeat(width + 8)}${paint.dim("next:")} ${neutralLine(next)}`);
  }
  const count = (status: Status): number => findings.filter((one) => one.status === status).length;
  out("");
  out(`${count("ok")} ok, ${count("warn")} to look at, ${count("fail")} wrong`);
}
