import type { Command } from "commander";
import { programEnv, stateDirectory } from "../config/environment.ts";
import { demandHome, loadSettings, type SettingFlags } from "../config/load-settings.ts";
import { locateHome } from "../config/locate-home.ts";
import type { Settings } from "../config/settings.ts";
import type { SshSurroundings } from "../consent/channels/cli/ssh-key.ts";
import { createWitness, type Witness } from "../consent/channels/cli/witness.ts";
import type { Home } from "../gate/home.ts";
import type { CliParts } from "./parts.ts";
import type { Terminal } from "./terminal.ts";

/** What a command works with. */
export interface Cli {
  readonly parts: CliParts;
  readonly terminal: Terminal;
  readonly ssh: SshSurroundings;
  readonly witness: Witness;
  /** Settings for the home that the flags point to; `exists` demands that there is one. */
  settings(flags: SettingFlags, options: { readonly exists: boolean }): Promise<Settings>;
  /** Opens the home, hands it over, closes it whatever happens. */
  withHome(command: Command, use: (home: Home) => Promise<number>): Promise<number>;
}

/** A command's flags, those before its name included. */
export const flagsOf = <T extends object = object>(command: Command): T & SettingFlags =>
  command.optsWithGlobals();

export function createCli(parts: CliParts, terminal: Terminal): Cli {
  const { around } = parts;
  const separator = around.platform === "win32" ? "\\" : "/";
  const settings: Cli["settings"] = async (flags, options) => {
    const located = await locateHome(flags.home, around, terminal.interactive);
    const loaded = await loadSettings(
      { flags: { ...flags, home: located.home }, around, interactive: terminal.interactive },
      {
        servicesSchema: parts.servicesSchema,
        workspacesSchema: parts.workspacesSchema,
        ...(parts.upstreamsSchema === undefined ? {} : { upstreamsSchema: parts.upstreamsSchema }),
        ...(parts.readConfig === undefined ? {} : { readConfig: parts.readConfig }),
      },
    );
    return options.exists ? demandHome(loaded, located.origin) : loaded;
  };
  return {
    parts,
    terminal,
    settings,
    ssh: { env: programEnv(around), keyDir: [around.userHome, ".ssh"].join(separator) },
    witness: createWitness({
      dir: [stateDirectory(around), "seen"].join(separator),
      verifyConsistency: parts.verifyConsistency,
    }),
    async withHome(command, use) {
      const home = await parts.openHome(await settings(flagsOf(command), { exists: true }));
      try {
        return await use(home);
      } finally {
        await home.close();
      }
    },
  };
}
