import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CLIENT_KINDS } from "../support/mcp-clients.ts";
import {
  defaultPolicy,
  missingForMain,
  openRealHome,
  type Ran,
  type RealHome,
} from "../support/real-gateway.ts";

// Registering with a host, by the bundled command: what it writes is read as the host reads it, and starts the gateway.

const missing = missingForMain();
const kind = CLIENT_KINDS.find((one) => one.name === "v1 SDK over stdio") as (typeof CLIENT_KINDS)[number];

interface Entry {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Record<string, string>;
  readonly timeout?: number;
}

describe.skipIf(missing !== null)(missing ?? "countersign install", () => {
  let world: RealHome;
  const user = (...names: string[]): string => join(world.root, "user", ...names);
  const install = (...args: string[]): Promise<Ran> => world.run(["--home", world.home, "install", ...args]);
  const read = (path: string): Record<string, Record<string, Entry>> =>
    JSON.parse(readFileSync(path, "utf8")) as Record<string, Record<string, Entry>>;
  /** As a host with a desktop's short PATH starts it. */
  const toolsOf = async (entry: Entry): Promise<readonly string[]> => {
    const env = { PATH: "/nowhere", HOME: user(), ...entry.env };
    const client = await kind.connect({ kind: "stdio", ...entry, env });
    const names = (await client.tools()).map(({ name }) => name);
    await client.close();
    return names;
  };

  beforeAll(async () => {
    world = await openRealHome();
    mkdirSync(user(".config", "Claude"), { recursive: true });
    mkdirSync(user(".config", "Code", "User"), { recursive: true });
    mkdirSync(user(".cursor"));
    mkdirSync(user("shop"));
  });
  afterAll(() => world.close());

  test.each([
    ["claude-desktop", ".config/Claude/claude_desktop_config.json", "mcpServers"],
    ["claude-code", ".claude.json", "mcpServers"],
    ["cursor", ".cursor/mcp.json", "mcpServers"],
    ["vscode", ".config/Code/User/mcp.json", "servers"],
  ] as const)("%s gets an entry that starts the gateway from anywhere", async (host, path, section) => {
    const shown = await install("--host", host, "--dry-run");
    expect([shown.code, existsSync(user(path))]).toEqual([0, false]);
    expect(shown.out).toContain(`${user(path)}\n--- (no file)`);
    const made = await install("--host", host);
    expect(made.code).toBe(0);
    expect(made.out).toContain("added countersign");
    expect(statSync(user(path)).mode & 0o777).toBe(0o600);
    const entry = read(user(path))[section]?.["countersign"] as Entry;
    expect(entry.timeout).toBe(host === "claude-code" ? 3_600_000 : undefined);
    expect(await toolsOf(entry)).toContain("deploy_service");

    const bytes = readFileSync(user(path), "utf8");
    const again = await install("--host", host);
    expect([again.code, again.out]).toEqual([0, `${user(path)}\nnothing to change\n`]);
    const gone = await world.run(["uninstall", "--host", host]);
    expect(gone.code).toBe(0);
    expect(read(user(path))).toEqual({ [section]: {} });
    expect(readFileSync(`${user(path)}.before-countersign`, "utf8")).toBe(bytes);
    expect((await world.run(["uninstall", "--host", host])).out).toContain("nothing to change");
  });

  test.each([
    ["claude-code", ".mcp.json"],
    ["cursor", ".cursor/mcp.json"],
    ["vscode", ".vscode/mcp.json"],
  ] as const)("%s keeps a project's servers in the project", async (host, path) => {
    const made = await world.run(
      ["--home", world.home, "install", "--host", host, "--scope", "project", "--json"],
      { cwd: user("shop") },
    );
    expect(made.code).toBe(0);
    expect(JSON.parse(made.out)).toMatchObject({
      action: "added",
      file: user("shop", path),
      notes: [expect.stringContaining("paths of this machine")],
    });
    expect(statSync(user("shop", path)).mode & 0o777).toBe(0o644);
  });

  test("another server of that name is shown without its secrets, and stays until --force", async () => {
    const file = user("taken.json");
    const theirs = {
      mcpServers: {
        countersign: {
          command: "npx",
          args: ["other", "--api-key", "sk-argument", "--token=sk-inline", "--port", "1"],
          env: { KEY: "sk-variable", REFERENCE: "${KEY}" },
        },
      },
    };
    writeFileSync(file, JSON.stringify(theirs, null, 2));
    const flags = ["--host", "claude-code", "--config", file];
    for (const refused of [await install(...flags), await world.run(["uninstall", ...flags])]) {
      expect(refused.code).toBe(1);
      expect(refused.err).toContain("(HOST_ENTRY_TAKEN)");
      expect(refused.err).toContain('"--port","1"');
      expect(refused.err).toContain("${KEY}");
      expect(refused.err + refused.out).not.toContain("sk-");
    }
    expect(read(file)).toEqual(theirs);
    expect((await install(...flags, "--name", "gate")).out).toContain("added gate");
    const forced = await install(...flags, "--force");
    expect(forced.out).toContain("replaced countersign");
    expect(forced.out).not.toContain("sk-");
    expect(Object.keys(read(file)["mcpServers"] ?? {})).toEqual(["countersign", "gate"]);
  });

  test("a file that is not JSON is refused with its place, and stays", async () => {
    const file = user("broken.json");
    writeFileSync(file, '{\n  "mcpServers": {\n    "a": {}\n');
    const refused = await install("--host", "cursor", "--config", file);
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining(`${file}:4:1 not JSON`)]);
    expect(readFileSync(file, "utf8")).toBe('{\n  "mcpServers": {\n    "a": {}\n');
  });

  test("two that register at once are both there", async () => {
    const file = user("both.json");
    const names = ["one", "two", "three"];
    const ran = await Promise.all(
      names.map((name) => install("--host", "cursor", "--config", file, "--name", name)),
    );
    expect(ran.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(Object.keys(read(file)["mcpServers"] ?? {}).sort()).toEqual([...names].sort());
  });

  test("an agent that the policy does not know is refused, with the lines to add (C1)", async () => {
    const refused = await install("--host", "claude-code", "--agent", "gemini", "--config", user("no.json"));
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("does not know the agent gemini (C1) (AGENT_UNKNOWN)");
    expect(refused.err).toContain("gemini: { owners: [ana] }");
    expect(existsSync(user("no.json"))).toBe(false);
  });

  test("before a home is made, nothing is registered (design §11)", async () => {
    for (const home of [user("never"), user("shop")]) {
      const refused = await world.run([
        ...["--home", home, "install", "--host", "claude-code"],
        ...["--config", user("no.json"), "--agent", "claude"],
      ]);
      expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("HOME_NOT_FOUND")]);
    }
    expect(existsSync(user("no.json"))).toBe(false);
  });

  test("before anybody can approve, nothing is registered", async () => {
    const people = `people:
  ana: { name: Ana Ruiz, os: ["1@elsewhere"] }
  ben: { name: Ben Oduya }`;
    const bare = await openRealHome({
      policy: (facts) =>
        defaultPolicy(facts)
          .replace(/^people:[^]*?(?=\ngroups)/m, people)
          .replace("[ben, chi]", "[ben]")
          .replace("quorum: 2", "quorum: 1"),
    });
    try {
      const flags = ["--home", bare.home, "install", "--host", "claude-code", "--scope", "project"];
      const refused = await bare.run(flags);
      expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("(NO_APPROVER)")]);
      expect(existsSync(join(bare.root, ".mcp.json"))).toBe(false);
    } finally {
      await bare.close();
    }
  });

  test("a gateway elsewhere is registered with a token's file, never with a token", async () => {
    const gateway = await world.start();
    const token = join(user(), "token");
    writeFileSync(token, readFileSync(join(world.home, "data", "keys", "mcp.token")), { mode: 0o644 });
    const flags = ["install", "--host", "claude-desktop", "--config", user("far.json"), "--url", gateway.mcp];
    const bare = await world.run(flags);
    expect([bare.code, bare.err]).toEqual([2, expect.stringContaining("--token-file FILE")]);
    const open = await world.run([...flags, "--token-file", token]);
    expect([open.code, open.err]).toEqual([2, expect.stringContaining(`chmod 600 ${token}`)]);
    writeFileSync(join(user(), "token-private"), readFileSync(token), { mode: 0o600 });
    const made = await world.run([...flags, "--token-file", join(user(), "token-private")]);
    expect(made.code).toBe(0);
    expect(made.out).not.toContain("csm_");
    const entry = read(user("far.json"))["mcpServers"]?.["countersign"] as Entry;
    expect(entry.args).toContain("--token-file");
    expect(await toolsOf(entry)).toContain("deploy_service");

    const byVariable = ["install", "--host", "vscode", "--config", user("env.json"), "--url", gateway.mcp];
    expect((await world.run(byVariable)).code).toBe(0);
    expect(read(user("env.json"))["servers"]?.["countersign"]?.env).toEqual({
      COUNTERSIGN_TOKEN: "${env:COUNTERSIGN_TOKEN}",
    });
    const inline = await world.run([
      ...flags.slice(0, -1),
      "http://ana:secret@127.0.0.1:1",
      "--token-file",
      token,
    ]);
    expect([inline.code, inline.err]).toEqual([2, expect.stringContaining("never stands in a host's file")]);
    await gateway.stop();
  });

  test("without HOME the account's own directory counts, and a project needs none", async () => {
    const ran = await world.run(
      ["--home", world.home, "install", "--host", "claude-code", "--scope", "project", "--dry-run"],
      { env: { HOME: "" }, cwd: user("shop") },
    );
    expect([ran.code, ran.out]).toEqual([0, expect.stringContaining(user("shop", ".mcp.json"))]);
    const refused = await world.run(["uninstall", "--host", "cursor"], { env: { HOME: "" } });
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("--config FILE")]);
  });
});
