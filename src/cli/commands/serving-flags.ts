import type { Command } from "commander";

/** The settings that a gateway takes on its command line, besides the home. */
export const addServingFlags = (command: Command): Command =>
  command
    .option(
      "--hold <duration>",
      "how long a call waits for people before it gets a ticket (COUNTERSIGN_HOLD)",
    )
    .option(
      "--log-level <level>",
      "fatal, error, warn, info, debug, trace or silent (COUNTERSIGN_LOG_LEVEL)",
    );
