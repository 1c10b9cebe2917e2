import { flagsOf } from "../context.ts";
import type { AddCommand } from "../program.ts";
import { addHostFlags, hostFlagsOf, registrationOf, reportOutcome, type HostFlags } from "./host-flags.ts";

export const addUninstall: AddCommand = (parent, cli, run) => {
  addHostFlags(
    parent.command("uninstall").description("take the entry that install made out of a host's configuration"),
    "take the entry out whatever it starts",
  )
    .addHelpText(
      "after",
      `
Takes out one key, and only if it starts countersign; nothing else in the file
changes. No home is needed, and none is touched.

Example:
  $ countersign uninstall --host claude-code
  $ countersign uninstall --host cursor --scope project --dry-run`,
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<HostFlags>(command);
        hostFlagsOf(flags);
        const [{ unregister }, { systemDisk }] = await Promise.all([
          import("../hosts/registration.ts"),
          import("../hosts/disk.ts"),
        ]);
        const { parts, registration } = await registrationOf(cli, flags, systemDisk);
        const outcome = await unregister(parts, registration);
        reportOutcome(cli, flags, registration, { ...outcome, entry: null, otherWays: [] });
        return 0;
      }),
    );
};
