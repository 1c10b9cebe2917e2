import { expect, test } from "vitest";
import { configPath } from "../../../src/cli/hosts/config-path.ts";
import type { HostId, Scope } from "../../../src/cli/hosts/host.ts";

interface Where {
  readonly platform?: NodeJS.Platform;
  readonly env?: Record<string, string>;
  readonly userHome?: string;
  readonly cwd?: string;
  readonly tree?: Record<string, readonly string[]>;
}

const path = (host: HostId, scope: Scope, where: Where = {}): Promise<string> =>
  configPath(
    host,
    scope,
    { platform: "linux", env: {}, userHome: "/home/ana", cwd: "/srv/shop", ...where },
    async (directory) => where.tree?.[directory] ?? [],
  );

const MAC = { platform: "darwin", userHome: "/Users/ana" } as const;
const WINDOWS = { platform: "win32", userHome: "C:\\Users\\ana", cwd: "D:\\shop" } as const;
const LOCAL = "C:\\Users\\ana\\AppData\\Local";

test.each<[HostId, Scope, Where, string]>([
  ["claude-desktop", "user", {}, "/home/ana/.config/Claude/claude_desktop_config.json"],
  ["claude-desktop", "user", { env: { XDG_CONFIG_HOME: "/x" } }, "/x/Claude/claude_desktop_config.json"],
  [
    "claude-desktop",
    "user",
    { env: { XDG_CONFIG_HOME: "x" } },
    "/home/ana/.config/Claude/claude_desktop_config.json",
  ],
  ["claude-desktop", "user", MAC, "/Users/ana/Library/Application Support/Claude/claude_desktop_config.json"],
  ["claude-desktop", "user", WINDOWS, "C:\\Users\\ana\\AppData\\Roaming\\Claude\\claude_desktop_config.json"],
  [
    "claude-desktop",
    "user",
    { ...WINDOWS, env: { APPDATA: "E:\\Roaming" } },
    "E:\\Roaming\\Claude\\claude_desktop_config.json",
  ],
  ["claude-code", "user", {}, "/home/ana/.claude.json"],
  ["claude-code", "user", { env: { CLAUDE_CONFIG_DIR: "/c" } }, "/c/.claude.json"],
  ["claude-code", "project", {}, "/srv/shop/.mcp.json"],
  ["claude-code", "project", WINDOWS, "D:\\shop\\.mcp.json"],
  ["cursor", "user", MAC, "/Users/ana/.cursor/mcp.json"],
  ["cursor", "project", {}, "/srv/shop/.cursor/mcp.json"],
  ["vscode", "user", {}, "/home/ana/.config/Code/User/mcp.json"],
  ["vscode", "user", MAC, "/Users/ana/Library/Application Support/Code/User/mcp.json"],
  ["vscode", "user", WINDOWS, "C:\\Users\\ana\\AppData\\Roaming\\Code\\User\\mcp.json"],
  ["vscode", "project", {}, "/srv/shop/.vscode/mcp.json"],
])("%s for %s, %j", async (host, scope, where, expected) => {
  expect(await path(host, scope, where)).toBe(expected);
});

test("the packaged Claude Desktop of Windows reads the directory of its package", async () => {
  const roaming = `${LOCAL}\\Packages\\Claude_pzs8sxrjxfjjc\\LocalCache\\Roaming`;
  const tree = { [`${LOCAL}\\Packages`]: ["Other_1", "Claude_pzs8sxrjxfjjc"], [roaming]: ["Claude"] };
  expect(await path("claude-desktop", "user", { ...WINDOWS, tree })).toBe(
    `${roaming}\\Claude\\claude_desktop_config.json`,
  );
  // A package that was taken off leaves its name behind.
  const left = { ...tree, [roaming]: [] };
  expect(await path("claude-desktop", "user", { ...WINDOWS, tree: left })).toContain(
    "AppData\\Roaming\\Claude",
  );
});

test("two packages are for the person to tell apart", async () => {
  const roaming = (name: string): string => `${LOCAL}\\Packages\\${name}\\LocalCache\\Roaming`;
  const tree = {
    [`${LOCAL}\\Packages`]: ["Claude_a", "Claude_b"],
    [roaming("Claude_a")]: ["Claude"],
    [roaming("Claude_b")]: ["Claude"],
  };
  await expect(path("claude-desktop", "user", { ...WINDOWS, tree })).rejects.toMatchObject({
    code: "HOST_CONFIG_REFUSED",
    hint: expect.stringContaining("--config") as string,
  });
});

test.each<[HostId, Where]>([
  ["claude-code", { userHome: "" }],
  ["claude-desktop", { userHome: "" }],
  ["cursor", { userHome: "relative" }],
  ["vscode", { ...WINDOWS, userHome: "" }],
])("%s without a home directory is a sentence, not a file at the root", async (host, where) => {
  await expect(path(host, "user", where)).rejects.toMatchObject({ code: "HOST_CONFIG_REFUSED" });
});

test("without a home directory a project still has its file", async () => {
  expect(await path("claude-code", "project", { userHome: "" })).toBe("/srv/shop/.mcp.json");
});

test("Claude Desktop has no projects", async () => {
  await expect(path("claude-desktop", "project")).rejects.toMatchObject({ code: "USAGE" });
});
