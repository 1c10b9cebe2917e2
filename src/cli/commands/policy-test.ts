import { neutralLine } from "../../base/text.ts";
import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";
import { readValidPolicy } from "../read-policy.ts";

export const addPolicyTest: AddCommand = (parent, cli, run) => {
  parent
    .command("test")
    .description("run the tests that a policy carries")
    .argument("[file]", "the policy (else the home's)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExample:\n  $ countersign policy test\n  $ countersign policy test policy.yaml --json",
    )
    .action(
      run(async (command) => {
        const { file, policy, tools } = await readValidPolicy(
          cli,
          command,
          command.processedArgs[0] as string | undefined,
        );
        const results = cli.parts.policyTools.test(policy, tools).tests;
        const failed = results.filter(({ passed }) => !passed);
        const { terminal } = cli;
        if (flagsOf<{ json?: boolean }>(command).json === true) {
          terminal.json({ file, ok: failed.length === 0, tests: results });
          return failed.length === 0 ? 0 : 1;
        }
        for (const { it, line, passed, differences, got } of results) {
          const mark = passed ? terminal.paint.green("ok  ") : terminal.paint.red("FAIL");
          terminal.out(`${mark} ${neutralLine(it)} (${neutralLine(file)}:${line})`);
          for (const difference of differences) terminal.out(`     ${neutralLine(difference)}`);
          if (!passed) terminal.out(`     decided: ${neutralLine(got)}`);
        }
        if (results.length === 0) terminal.out("the policy has no tests; write some under tests:");
        else terminal.out(`${results.length - failed.length} of ${results.length} passed`);
        return failed.length === 0 ? 0 : 1;
      }),
    );
};
