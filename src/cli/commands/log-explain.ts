import { flagsOf } from "../context.ts";
import { localZone } from "../moment.ts";
import type { AddCommand } from "../program.ts";
import { renderStory } from "../render-story.ts";

export const addLogExplain: AddCommand = (parent, cli, run) => {
  parent
    .command("explain")
    .description("tell the whole story of one request from the record alone")
    .argument("<request>", "its code, its id, or the beginning of the id")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Who asked through which agent, what the agent claimed, what the evidence said,
which rules matched and why, who decided with what proof, what ran, and what
came out. What was erased is said to be, with the date.

Example:
  $ countersign log explain 8K2M4Q`,
    )
    .action(
      run((command) =>
        cli.withHome(command, async (home) => {
          const request = await home.requests.find(String(command.processedArgs[0]));
          const story = await home.explain(request.id);
          const { terminal } = cli;
          if (flagsOf<{ json?: boolean }>(command).json === true) terminal.json(story);
          else {
            const { paint, width } = terminal;
            terminal.out(renderStory(story, { paint, width, zone: localZone() }));
          }
          return 0;
        }),
      ),
    );
};
