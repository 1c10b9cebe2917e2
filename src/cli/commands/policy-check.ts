import { neutralLine } from "../../base/text.ts";
import { formatSourceError } from "../../base/yaml.ts";
import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";
import { readPolicy } from "../read-policy.ts";

export const addPolicyCheck: AddCommand = (parent, cli, run) => {
  parent
    .command("check")
    .description("say whether a policy loads, and what looks wrong in it")
    .argument("[file]", "the policy (else the home's)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExample:\n  $ countersign policy check\n  $ countersign policy check policy.yaml --json",
    )
    .action(
      run(async (command) => {
        const { file, policy, errors, notes } = await readPolicy(
          cli,
          command,
          command.processedArgs[0] as string | undefined,
        );
        const { terminal } = cli;
        if (flagsOf<{ json?: boolean }>(command).json === true) {
          terminal.json({ file, ok: policy !== null, revision: policy?.revision ?? null, errors, notes });
          return policy === null ? 1 : 0;
        }
        for (const error of errors)
          terminal.out(`${terminal.paint.red("error")} ${neutralLine(formatSourceError(error))}`);
        for (const note of notes)
          terminal.out(`${terminal.paint.yellow("look ")} ${neutralLine(formatSourceError(note))}`);
        if (policy === null) {
          terminal.out(
            terminal.paint.red(`${neutralLine(file)} does not load: ${count(errors.length, "mistake")}`),
          );
          return 1;
        }
        const size = `${count(policy.people.size, "person", "people")}, ${count(policy.agents.size, "agent")}`;
        terminal.out(
          `${terminal.paint.green("ok   ")} ${neutralLine(file)}: ${size}, revision ${policy.revision}`,
        );
        return 0;
      }),
    );
};

const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;
