import type { Command } from "commander";

/** The flags that every signed decision takes. */
export const addSigningFlags = (command: Command): Command =>
  command
    .option(
      "--key <file>",
      "sign with this SSH key (else the one in ~/.ssh or the agent that the policy knows)",
    )
    .option("--as <person>", "who you are, where keys of several people are on this machine")
    .option("--print-statement <file>", "sign elsewhere: write the exact bytes to sign, and stop")
    .option("--signature <file>", "hand in a signature that was made elsewhere")
    .option("--statement <file>", "the file that --signature is over (else its name without .sig)");
