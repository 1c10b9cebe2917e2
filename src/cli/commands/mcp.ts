import { flagsOf } from "../context.ts";
import { usage } from "../failure.ts";
import type { AddCommand } from "../program.ts";
import { readTokenFile } from "../token-file.ts";
import { addServingFlags } from "./serving-flags.ts";

export const addMcp: AddCommand = (parent, cli, run) => {
  addServingFlags(
    parent
      .command("mcp")
      .description("serve one MCP client over standard input and output; started by its host")
      .option("--url <url>", "a gateway elsewhere (COUNTERSIGN_URL, COUNTERSIGN_TOKEN)")
      .option("--token-file <file>", "with --url: file that holds its token, read by you alone")
      .option("--agent <agent>", "which agent of the policy this is (COUNTERSIGN_AGENT)")
      .option("--principal <id>", "for whom it acts, if not for the OS account (COUNTERSIGN_PRINCIPAL)"),
  )
    .addHelpText(
      "after",
      `
Where a gateway serves the home already, this is a shim to it and holds no key
and no credential. With --url it needs no home at all: the safer set-up, where
the gateway runs as an account of its own.

Name the home in full: a host's working directory is not to be trusted, so no
countersign.yaml is looked for there.

Example (in a host's configuration; countersign install writes it there):
  "countersign": {
    "command": "countersign",
    "args": ["mcp", "--home", "/home/ana/countersign", "--agent", "claude"]
  }`,
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<{ url?: string; tokenFile?: string }>(command);
        const { env } = cli.parts.around;
        const url = flags.url ?? env["COUNTERSIGN_URL"];
        if (url === undefined || url === "") {
          return cli.parts.serve({ kind: "mcp", settings: await cli.settings(flags, { exists: true }) });
        }
        const token =
          flags.tokenFile === undefined
            ? env["COUNTERSIGN_TOKEN"]
            : await readTokenFile(flags.tokenFile, cli.parts.around.platform);
        if (token === undefined || token === "") {
          throw usage(
            "a gateway elsewhere takes a bearer token, and COUNTERSIGN_TOKEN is not set",
            "set it, or name a file that holds it: --token-file FILE; its SHA-256 stands under clients: in countersign.yaml",
          );
        }
        return cli.parts.serve({
          kind: "shim",
          url,
          token,
          agent: flags.agent ?? env["COUNTERSIGN_AGENT"] ?? null,
        });
      }),
    );
};
