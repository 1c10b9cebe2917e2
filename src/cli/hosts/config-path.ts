import { posix, win32 } from "node:path";
import type { Surroundings } from "../../config/environment.ts";
import { CountersignError } from "../../errors.ts";
import { HOSTS, type HostId, type Scope } from "./host.ts";

// Where each host keeps its servers. The rules are the hosts' own; XDG paths count only if absolute (XDG base directory
// specification 0.8), and an account without a home directory gets a sentence instead of a file at the root.

/** Names in a directory; empty where there is none. */
export type ListNames = (directory: string) => Promise<readonly string[]>;

type Around = Pick<Surroundings, "env" | "cwd" | "platform" | "userHome">;

/**
 * The file that holds a host's servers, absolute.
 * @throws CountersignError `USAGE` for a scope that the host lacks, `HOST_CONFIG_REFUSED` where it can't be told
 */
export async function configPath(
  host: HostId,
  scope: Scope,
  around: Around,
  list: ListNames,
): Promise<string> {
  const { name, scopes } = HOSTS[host];
  if (!scopes.includes(scope)) {
    throw new CountersignError("USAGE", `${name} has no ${scope} scope`, { hint: "leave out --scope" });
  }
  const { join } = pathsOf(around);
  if (scope === "project") {
    if (host === "claude-code") return join(around.cwd, ".mcp.json");
    return join(around.cwd, host === "cursor" ? ".cursor" : ".vscode", "mcp.json");
  }
  switch (host) {
    case "claude-desktop":
      return join(await claudeDirectory(around, list), "claude_desktop_config.json");
    case "claude-code":
      return join(absolute(around, "CLAUDE_CONFIG_DIR") ?? userHome(around, name), ".claude.json");
    case "cursor":
      return join(userHome(around, name), ".cursor", "mcp.json");
    case "vscode":
      return join(applicationData(around, name), "Code", "User", "mcp.json");
  }
}

const pathsOf = ({ platform }: Around): typeof posix => (platform === "win32" ? win32 : posix);

/** A directory that the environment names; a relative one is to be ignored. */
function absolute(around: Around, variable: string): string | undefined {
  const value = around.env[variable];
  return value !== undefined && pathsOf(around).isAbsolute(value) ? value : undefined;
}

function userHome(around: Around, name: string): string {
  if (pathsOf(around).isAbsolute(around.userHome)) return around.userHome;
  const variable = around.platform === "win32" ? "USERPROFILE" : "HOME";
  throw new CountersignError(
    "HOST_CONFIG_REFUSED",
    `where ${name} keeps its servers can't be told: ${variable} is not set to an absolute path, and this account has no home directory`,
    { hint: `set ${variable}, or name the file: --config FILE` },
  );
}

/** Where programs with a window keep their files. */
function applicationData(around: Around, name: string): string {
  const { join } = pathsOf(around);
  switch (around.platform) {
    case "win32":
      return absolute(around, "APPDATA") ?? join(userHome(around, name), "AppData", "Roaming");
    case "darwin":
      return join(userHome(around, name), "Library", "Application Support");
    default:
      return absolute(around, "XDG_CONFIG_HOME") ?? join(userHome(around, name), ".config");
  }
}

/**
 * On Windows the packaged Claude Desktop (MSIX) sees a directory of its own in place of %APPDATA%, and never reads a
 * file that somebody else put there. The publisher's part of the package's name is not relied on.
 */
async function claudeDirectory(around: Around, list: ListNames): Promise<string> {
  const { name } = HOSTS["claude-desktop"];
  const { join } = pathsOf(around);
  if (around.platform !== "win32") return join(applicationData(around, name), "Claude");
  const local = absolute(around, "LOCALAPPDATA") ?? join(userHome(around, name), "AppData", "Local");
  const packages = (await list(join(local, "Packages"))).filter((one) => one.startsWith("Claude_"));
  const found: string[] = [];
  for (const one of packages) {
    const roaming = join(local, "Packages", one, "LocalCache", "Roaming");
    if ((await list(roaming)).includes("Claude")) found.push(join(roaming, "Claude"));
  }
  const [only, ...more] = found;
  if (only !== undefined && more.length > 0) {
    throw new CountersignError(
      "HOST_CONFIG_REFUSED",
      `there are ${found.length} packages of ${name}: ${found.join(", ")}`,
      { hint: "name the file of the one that you use: --config FILE" },
    );
  }
  return only ?? join(applicationData(around, name), "Claude");
}
