import { resolve } from "node:path";
import type { Command } from "commander";
import { flagsOf, type Cli } from "../context.ts";
import { usage } from "../failure.ts";
import type { Served } from "../hosts/launch.ts";
import type { AddCommand } from "../program.ts";
import { addHostFlags, hostFlagsOf, registrationOf, reportOutcome, type HostFlags } from "./host-flags.ts";

interface InstallFlags extends HostFlags {
  readonly agent?: string;
  readonly url?: string;
  readonly tokenFile?: string;
}

export const addInstall: AddCommand = (parent, cli, run) => {
  addHostFlags(
    parent
      .command("install")
      .description("register this home with an MCP host: one entry of its configuration")
      .option("--agent <id>", "which agent of the policy the host is")
      .option("--url <url>", "register a gateway elsewhere instead of a home")
      .option("--token-file <file>", "with --url: what holds its token, read by you alone"),
    "replace another server of that name",
  )
    .addHelpText(
      "after",
      `
The home has to have an adopted policy, somebody who can approve, and the agent.
One key is merged: comments, order and everything else stay, a copy of what was
there before is kept beside the file, and a second time changes nothing.

Example:
  $ countersign install --host claude-code --agent claude --dry-run
  $ countersign install --host vscode --scope project --home ~/countersign
  $ countersign install --host claude-desktop \\
      --url http://127.0.0.1:7331 --token-file ~/.countersign-token`,
    )
    .action(
      run(async (command) => {
        const flags = flagsOf<InstallFlags>(command);
        const host = hostFlagsOf(flags);
        const { served, notes } =
          flags.url === undefined
            ? await homeServed(cli, command)
            : await gatewayServed(cli, flags, flags.url);
        const [{ alternatives, launchOf, serverEntry }, { register }, { systemDisk }] = await Promise.all([
          import("../hosts/launch.ts"),
          import("../hosts/registration.ts"),
          import("../hosts/disk.ts"),
        ]);
        const { platform } = cli.parts.around;
        const launch = await launchOf(cli.parts.self, platform, systemDisk);
        const entry = serverEntry(host.host, launch, served);
        const { parts, registration } = await registrationOf(cli, flags, systemDisk);
        const outcome = await register(parts, registration, entry);
        const shared =
          host.scope === "project"
            ? [
                "the entry names paths of this machine: keep the file out of the repository, or use --scope user",
              ]
            : [];
        reportOutcome(cli, flags, registration, {
          ...outcome,
          notes: [...notes, ...launch.notes, ...outcome.notes, ...shared],
          entry,
          otherWays: alternatives(host.host, host.name, entry, { platform, scope: host.scope }),
        });
        return 0;
      }),
    );
};

interface Checked {
  readonly served: Served;
  readonly notes: readonly string[];
}

async function homeServed(cli: Cli, command: Command): Promise<Checked> {
  if (flagsOf<InstallFlags>(command).tokenFile !== undefined)
    throw usage("--token-file goes with --url: a home has its own token");
  const { demandReady } = await import("../hosts/demand-ready.ts");
  let checked: Checked | null = null;
  await cli.withHome(command, async (home) => {
    const { agent, notes } = demandReady(home, cli.parts.around.account);
    checked = { served: { kind: "home", home: home.settings.home, agent }, notes };
    return 0;
  });
  return checked as unknown as Checked;
}

/** The gateway's operator made its home; nothing of it can be opened from here. */
async function gatewayServed(cli: Cli, flags: InstallFlags, url: string): Promise<Checked> {
  if (!URL.canParse(url) || !/^https?:\/\//.test(url))
    throw usage(`--url is "${url}", not an http address`, "such as http://127.0.0.1:7331");
  const { username, password, search, hash, protocol, hostname } = new URL(url);
  if (username !== "" || password !== "" || search !== "" || hash !== "")
    throw usage(
      "--url holds more than an address; a secret never stands in a host's file",
      "use --token-file FILE",
    );
  if (flags.agent !== undefined)
    throw usage(
      "with --url the token says which agent it is",
      "leave out --agent; clients: in countersign.yaml names it",
    );
  const isHere = /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
  const notes =
    protocol === "http:" && !isHere ? ["the token would cross the network in the clear: use https"] : [];
  if (flags.tokenFile === undefined) {
    notes.push(
      "the host has to be started with COUNTERSIGN_TOKEN set; --token-file FILE does not depend on that",
    );
    return { served: { kind: "gateway", url, tokenFile: null }, notes };
  }
  const tokenFile = resolve(cli.parts.around.cwd, flags.tokenFile);
  const { readTokenFile } = await import("../token-file.ts");
  await readTokenFile(tokenFile, cli.parts.around.platform);
  return { served: { kind: "gateway", url, tokenFile }, notes };
}
