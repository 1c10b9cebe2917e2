import { flagsOf } from "../context.ts";
import { usage } from "../failure.ts";
import type { AddCommand } from "../program.ts";
import { addServingFlags } from "./serving-flags.ts";

export const addStart: AddCommand = (parent, cli, run) => {
  addServingFlags(
    parent
      .command("start")
      .description("serve a home: agents on one port, people on another")
      .option("--demo", "serve a throwaway home, whose tools reach nothing but its workspace")
      .option("--mcp <host:port>", "where agents connect (COUNTERSIGN_MCP, default 127.0.0.1:7331)")
      .option("--api <host:port>", "where people connect (COUNTERSIGN_API, default localhost:7332)"),
  )
    .addHelpText(
      "after",
      "\nExample:\n  $ countersign start --demo\n  $ countersign start --home /srv/countersign",
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<{ demo?: boolean }>(command);
        if (flags.demo !== true) {
          return cli.parts.serve({ kind: "start", settings: await cli.settings(flags, { exists: true }) });
        }
        if (flags.home !== undefined)
          throw usage("--demo makes a home of its own", "leave out --home, or --demo");
        // Parsed here, so that a bad address is a usage error before anything is made.
        const { listeners } = await cli.settings(
          { mcp: flags.mcp, api: flags.api, home: DEMO_HAS_NO_HOME },
          { exists: false },
        );
        return cli.parts.serve({
          kind: "start_demo",
          mcp: flags.mcp === undefined ? null : listeners.mcp,
          api: flags.api === undefined ? null : listeners.api,
        });
      }),
    );
};

/** No countersign.yaml can lie here, so the demo never takes in somebody's real one. */
const DEMO_HAS_NO_HOME = "/nonexistent/countersign-demo";
