import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";
import { addServingFlags } from "./serving-flags.ts";

export const addMcp: AddCommand = (parent, cli, run) => {
  addServingFlags(
    parent
      .command("mcp")
      .description("serve one MCP client over standard input and output; started by its host")
      .option("--agent <agent>", "which agent of the policy this is (COUNTERSIGN_AGENT)")
      .option("--principal <id>", "for whom it acts, if not for the OS account (COUNTERSIGN_PRINCIPAL)"),
  )
    .addHelpText(
      "after",
      `
Where a gateway serves the home already, this is a shim to it and holds no key
and no credential. Name the home in full: a host's working directory is not to
be trusted, so no countersign.yaml is looked for there.

Example (in a host's configuration):
  "countersign": {
    "command": "countersign",
    "args": ["mcp", "--home", "/home/ana/countersign", "--agent", "claude"]
  }`,
    )
    .action(
      run(async (command) =>
        cli.parts.serve({ kind: "mcp", settings: await cli.settings(flagsOf(command), { exists: true }) }),
      ),
    );
};
