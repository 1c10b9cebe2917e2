import { readFile } from "node:fs/promises";
import { formatDuration } from "../../base/duration.ts";
import { table } from "../../base/terminal.ts";
import { neutralLine } from "../../base/text.ts";
import type { Explanation } from "../../policy/policy.ts";
import { flagsOf, type Cli } from "../context.ts";
import { usage } from "../failure.ts";
import type { AddCommand } from "../program.ts";
import { readValidPolicy } from "../read-policy.ts";

export const addPolicyExplain: AddCommand = (parent, cli, run) => {
  parent
    .command("explain")
    .description("what the policy says of one call, and why: every rule that could have matched")
    .argument(
      "<call>",
      "a JSON file: { tool, environment, agent, principal, args, preview }; - for standard input",
    )
    .argument("[file]", "the policy (else the home's)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Example:
  $ echo '{ "tool": "deploy_service", "environment": "prod" }' > call.json
  $ countersign policy explain call.json policy.yaml`,
    )
    .action(
      run(async (command) => {
        const [callFile, policyFile] = command.processedArgs as [string, string | undefined];
        const { policy, tools } = await readValidPolicy(cli, command, policyFile);
        const call = await readCall(cli, callFile);
        const input = cli.parts.policyTools.readCall(call, policy, tools);
        if (!input.ok) throw usage(`${neutralLine(callFile)} is not a call: ${input.error.join("; ")}`);
        const explanation = policy.explain(input.value);
        if (flagsOf<{ json?: boolean }>(command).json === true) cli.terminal.json(explanation);
        else print(cli, explanation);
        return 0;
      }),
    );
};

async function readCall(cli: Cli, file: string): Promise<unknown> {
  try {
    return JSON.parse(file === "-" ? await readAll(cli.parts.streams.stdin) : await readFile(file, "utf8"));
  } catch (error) {
    const problem = error instanceof SyntaxError ? "is not JSON" : "cannot be read";
    throw usage(
      `${neutralLine(file)} ${problem}`,
      'name a JSON file such as { "tool": "deploy_service", "environment": "prod" }',
    );
  }
}

async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  stream.setEncoding("utf8");
  for await (const chunk of stream) text += String(chunk);
  return text;
}

const VERDICT_COLOURS = { allow: "green", hold: "yellow", deny: "red" } as const;

function print(cli: Cli, { verdict, candidates }: Explanation): void {
  const { terminal } = cli;
  const word = terminal.paint[VERDICT_COLOURS[verdict.verdict]](verdict.verdict);
  const by = verdict.rules.map(({ id }) => neutralLine(id));
  terminal.out(
    `${terminal.paint.bold(word)} by ${by.length === 0 ? "the default: nothing else matched" : by.join(", ")}`,
  );
  for (const because of verdict.because) terminal.out(`  because ${neutralLine(because)}`);
  for (const clause of verdict.requirement?.clauses ?? []) {
    terminal.out(
      `  needs ${clause.count} of ${neutralLine(clause.from.join(" or "))}, proof ${clause.assurance} or better`,
    );
    for (const { afterMs, to } of clause.escalate ?? []) {
      terminal.out(`    after ${formatDuration(afterMs)} also ${neutralLine(to.join(" or "))}`);
    }
  }
  const remindMs = verdict.requirement?.remindMs;
  if (remindMs !== undefined) terminal.out(`  reminds every ${formatDuration(remindMs)}`);
  if (verdict.shadow.length > 0) {
    terminal.out(
      `  shadow rules would say: ${verdict.shadow.map(({ id, verdict: said }) => neutralLine(`${said} (${id})`)).join(", ")}`,
    );
  }
  if (candidates.length === 0) return;
  terminal.out("");
  const rows = candidates.map((one) => [
    String(one.line),
    neutralLine(one.id),
    one.verdict,
    one.outcome.replace("_", " "),
    neutralLine(one.why),
  ]);
  const columns = [
    { title: "LINE", align: "right" as const },
    { title: "RULE", paint: terminal.paint.bold },
    { title: "SAYS" },
    { title: "OUTCOME" },
    { title: "WHY" },
  ];
  for (const line of table(columns, rows, terminal.width)) terminal.out(line);
}
