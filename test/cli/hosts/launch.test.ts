import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { HOST_IDS, HOSTS, type HostId } from "../../../src/cli/hosts/host.ts";
import { alternatives, launchOf, serverEntry, startsUs, type Served } from "../../../src/cli/hosts/launch.ts";

const PROGRAM = "/opt/countersign/dist/countersign.js";
const links =
  (names: Record<string, string>) =>
  async (path: string): Promise<string> =>
    names[path] ?? path;

const HOME: Served = { kind: "home", home: "/srv/my home", agent: "claude" };
const FAR: Served = { kind: "gateway", url: "https://gate.example/mcp", tokenFile: null };
const launch = { command: "/usr/bin/node", program: PROGRAM, notes: [] };

test("a Node whose path has its version in it is named by the link that updates keep", async () => {
  const cellar = "/opt/homebrew/Cellar/node/24.1.0/bin/node";
  const target = links({ "/opt/homebrew/bin/node": cellar, "/usr/local/bin/node": "/usr/local/other/node" });
  const { command } = await launchOf([cellar, PROGRAM], "darwin", { target });
  expect(command).toBe("/opt/homebrew/bin/node");
});

test("a Node that no lasting name leads to is named as it runs", async () => {
  const own = "/home/ana/.nvm/versions/node/v20.20.2/bin/node";
  const target = (): Promise<string> => Promise.reject(Object.assign(new Error("no"), { code: "EACCES" }));
  expect((await launchOf([own, PROGRAM], "linux", { target })).command).toBe(own);
  expect((await launchOf(["C:\\node.exe", "C:\\c\\countersign.js"], "win32", { target })).command).toBe(
    "C:\\node.exe",
  );
});

test("a program that npm may clear away is noted, and one that is source is refused", async () => {
  const parts = { target: links({}) };
  const npx = "/home/ana/.npm/_npx/1a2b/node_modules/countersign/dist/countersign.js";
  expect((await launchOf(["/usr/bin/node", npx], "linux", parts)).notes).toEqual([
    expect.stringContaining("npm install --global"),
  ]);
  await expect(launchOf(["/usr/bin/node", "/src/countersign.ts"], "linux", parts)).rejects.toMatchObject({
    code: "USAGE",
  });
});

test.each(HOST_IDS.flatMap((id) => [HOME, FAR].map((served) => [id, served] as const)))(
  "%s: what is written starts us, and holds no token",
  (id, served) => {
    if (id === "claude-desktop" && served === FAR) {
      expect(() => serverEntry(HOSTS[id], launch, served)).toThrow(
        expect.objectContaining({ code: "USAGE" }),
      );
      return;
    }
    const entry = serverEntry(HOSTS[id], launch, served);
    expect(startsUs(entry)).toBe(true);
    if (served === FAR)
      expect(Object.values(entry["env"] ?? {})).toEqual([expect.stringMatching(/^\$\{.+\}$/)]);
  },
);

test.each<[HostId, boolean]>([
  ["claude-desktop", true],
  ["claude-code", false],
  ["cursor", false],
  ["vscode", false],
])("%s is not given a home that it would read as a variable", (id, takesIt) => {
  const make = (): unknown => serverEntry(HOSTS[id], launch, { ...HOME, home: "/srv/${HOME}" });
  if (takesIt) expect(make).not.toThrow();
  else expect(make).toThrow(expect.objectContaining({ code: "USAGE" }));
});

test.each<[string, unknown, boolean]>([
  ["the command by its name", { command: "countersign", args: ["mcp", "--home", "/h"] }, true],
  ["on Windows", { command: "C:\\npm\\countersign.cmd", args: ["mcp"] }, true],
  ["through node", { command: "node", args: ["/x/countersign.js", "mcp"] }, true],
  ["another server", { command: "npx", args: ["-y", "other", "mcp"] }, false],
  ["our name as an argument of another", { command: "npx", args: ["other", "mcp", "countersign"] }, false],
  ["another command of ours", { command: "countersign", args: ["start"] }, false],
  ["an address", { url: "https://countersign" }, false],
  ["nothing", null, false],
  ["numbers", { command: 1, args: [2] }, false],
])("%s: whether it is ours to take out", (_what, entry, ours) => {
  expect(startsUs(entry)).toBe(ours);
});

describe("the same by other means", () => {
  const entry = serverEntry(HOSTS.vscode, launch, { ...HOME, home: '/srv/it\'s "here" $HOME `x`' });
  const on = { platform: "linux", scope: "user" } as const;

  test("Cursor's link carries the entry", () => {
    const [link = ""] = alternatives(HOSTS.cursor, "gate", entry, on);
    const url = new URL(link);
    expect([url.protocol, url.searchParams.get("name")]).toEqual(["cursor:", "gate"]);
    expect(JSON.parse(Buffer.from(url.searchParams.get("config") ?? "", "base64").toString())).toEqual(entry);
  });

  test("a shell gives VS Code and Claude Code the very same words", () => {
    const [code = ""] = alternatives(HOSTS.vscode, "gate", entry, on);
    const [claude = ""] = alternatives(HOSTS["claude-code"], "gate", entry, { ...on, scope: "project" });
    const say = (line: string): string[] =>
      execFileSync("sh", ["-c", `code() { printf '%s\\n' "$@"; }; claude() { code "$@"; }; ${line}`], {
        encoding: "utf8",
      })
        .trimEnd()
        .split("\n");
    expect(JSON.parse(say(code)[1] ?? "")).toEqual({ name: "gate", ...entry });
    expect(say(claude).slice(0, 5)).toEqual(["mcp", "add-json", "gate", "--scope", "project"]);
    expect(JSON.parse(say(claude)[5] ?? "")).toEqual(entry);
  });

  test("Windows reads the same words from its command line", () => {
    const trailing = { ...entry, args: ["C:\\a b\\", 'say "x"'] };
    const [line = ""] = alternatives(HOSTS.vscode, "gate", trailing, { ...on, platform: "win32" });
    expect(JSON.parse(unquoteWindows(line.slice("code --add-mcp ".length)))).toEqual({
      name: "gate",
      ...trailing,
    });
  });
});

/** One quoted word as CommandLineToArgvW reads it: 2n backslashes before a quote are n, one more makes it literal. */
const unquoteWindows = (word: string): string =>
  word
    .slice(1, -1)
    .replaceAll(/(\\*)"/g, (_, slashes: string) => `${"\\".repeat(Math.floor(slashes.length / 2))}"`);
