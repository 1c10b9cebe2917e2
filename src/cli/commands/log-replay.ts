import { neutralLine } from "../../base/text.ts";
import { wrap } from "../../base/terminal.ts";
import type { ReplayedVerdict } from "../../gate/replay.ts";
import type { Home } from "../../gate/home.ts";
import { flagsOf, type Cli } from "../context.ts";
import { usage } from "../failure.ts";
import type { AddCommand } from "../program.ts";

/** Verdicts that are listed; beyond them they are only counted. */
const LISTED = 1_000;
const PROGRESS_EVERY_MS = 1_000;

export const addLogReplay: AddCommand = (parent, cli, run) => {
  parent
    .command("replay")
    .description("derive recorded verdicts again, from recorded inputs and the policy of then")
    .argument("[request]", "its code, or its id")
    .option("--all", "every verdict of the log")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
A verdict is partial where a mask stands for a value that it rested on, or where
its documents were erased. It differs where policy text or inputs are not what
was recorded, or give another verdict now. Exit code 1 where one differs.

Example:
  $ countersign log replay 8K2M4Q
  $ countersign log replay --all`,
    )
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const flags = flagsOf<{ all?: boolean; json?: boolean }>(command);
          const reference = command.processedArgs[0] as string | undefined;
          if ((reference === undefined) === (flags.all !== true)) {
            throw usage("name a request, or say --all", "one of them: countersign log replay 8K2M4Q");
          }
          const json = flags.json === true;
          const counts = { equal: 0, partial: 0, differs: 0 };
          const listed: ReplayedVerdict[] = [];
          for await (const one of verdictsOf(cli, home, reference)) {
            counts[one.outcome] += 1;
            // Of one request all are shown; of a whole log what needs a look.
            if (one.outcome === "equal" && reference === undefined) continue;
            if (listed.length === LISTED) continue;
            listed.push(one);
            if (!json) for (const line of render(cli, one)) cli.terminal.out(line);
          }
          const { equal, partial, differs } = counts;
          const verdicts = equal + partial + differs;
          if (json) {
            const unlisted = verdicts - listed.length - (reference === undefined ? equal : 0);
            cli.terminal.json({ ok: differs === 0, verdicts, ...counts, listed, unlisted });
          } else cli.terminal.out(summary(cli, counts));
          return differs === 0 ? 0 : 1;
        }),
      ),
    );
};

async function* verdictsOf(
  cli: Cli,
  home: Home,
  reference: string | undefined,
): AsyncIterable<ReplayedVerdict> {
  if (reference !== undefined) {
    yield* await home.replay.ofRequest((await home.requests.find(reference)).id);
    return;
  }
  const isWatched = cli.parts.streams.stderr.isTTY === true;
  let saidAt = cli.parts.clock.monotonic();
  yield* home.replay.ofLog((entries, of) => {
    const now = cli.parts.clock.monotonic();
    if (!isWatched || now - saidAt < PROGRESS_EVERY_MS) return;
    saidAt = now;
    cli.terminal.note(`${entries} of ${of} entries read`);
  });
}

function render({ terminal }: Cli, one: ReplayedVerdict): readonly string[] {
  const colour = { equal: terminal.paint.green, partial: terminal.paint.yellow, differs: terminal.paint.red };
  const head = `${colour[one.outcome](one.outcome.padEnd(8))} ${one.request}  #${one.seq}  ${one.verdict}`;
  const notes = one.notes.flatMap((note) => wrap(neutralLine(note), terminal.width - 9));
  return [head, ...notes.map((line) => `         ${line}`)];
}

function summary(
  { terminal }: Cli,
  { equal, partial, differs }: Record<ReplayedVerdict["outcome"], number>,
): string {
  const all = equal + partial + differs;
  if (all === 0) return "no verdict is recorded here";
  const words = `${all} ${all === 1 ? "verdict" : "verdicts"}: ${equal} equal, ${partial} partial, ${differs} different`;
  return differs === 0 ? terminal.paint.green(words) : terminal.paint.red(words);
}
