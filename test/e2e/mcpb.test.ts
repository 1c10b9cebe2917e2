import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { CLIENT_KINDS } from "../support/mcp-clients.ts";
import { missingForMain, openRealHome, type RealHome } from "../support/real-gateway.ts";

// The bundle for Claude Desktop, packed and unpacked by its maker's own tool, and started as its manifest says, far away
// from this checkout and its node_modules.

const missing = missingForMain();
const root = fileURLToPath(new URL("../..", import.meta.url));
const mcpb = join(root, "node_modules", "@anthropic-ai", "mcpb", "dist", "cli", "cli.js");
const node = (...words: string[]): string =>
  execFileSync(process.execPath, words, { encoding: "utf8", cwd: root });

const manifestSchema = z.looseObject({
  version: z.string(),
  server: z.looseObject({
    entry_point: z.string(),
    mcp_config: z.looseObject({ command: z.string(), args: z.array(z.string()) }),
  }),
  compatibility: z.looseObject({ platforms: z.array(z.string()) }),
  user_config: z.record(z.string(), z.looseObject({ type: z.string() })),
});

describe.skipIf(missing !== null)(missing ?? "countersign.mcpb", () => {
  let dir: string;
  let unpacked: string;
  let manifest: z.infer<typeof manifestSchema>;
  let world: RealHome;

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "countersign-mcpb-"));
    unpacked = join(dir, "unpacked");
    node(join(root, "scripts", "mcpb.mjs"), dir);
    node(mcpb, "unpack", join(dir, "countersign.mcpb"), unpacked);
    manifest = manifestSchema.parse(JSON.parse(readFileSync(join(unpacked, "manifest.json"), "utf8")));
    world = await openRealHome();
  });
  afterAll(async () => {
    await world.close();
    rmSync(dir, { recursive: true, force: true });
  });

  test("its manifest is what the maker's tool takes, and of this version", () => {
    expect(node(mcpb, "validate", join(unpacked, "manifest.json"))).toContain("passes");
    const { version } = createRequire(import.meta.url)(join(root, "package.json")) as { version: string };
    expect(manifest.version).toBe(version);
    expect(Object.keys(manifest.user_config)).toEqual(["home", "agent"]);
    expect(existsSync(join(unpacked, manifest.server.entry_point))).toBe(true);
  });

  test("it has the add-on for every platform that it claims", () => {
    expect(manifest.compatibility.platforms).not.toEqual([]);
    for (const platform of manifest.compatibility.platforms) {
      for (const machine of ["x64", "arm64"]) {
        const addOn = `node_modules/fs-native-extensions/prebuilds/${platform}-${machine}/fs-native-extensions.node`;
        expect(existsSync(join(unpacked, addOn)), addOn).toBe(true);
      }
    }
  });

  test.each(CLIENT_KINDS.filter(({ over }) => over === "stdio"))("$name lists its tools", async (kind) => {
    const values: Record<string, string> = {
      __dirname: unpacked,
      "user_config.home": world.home,
      "user_config.agent": "claude",
    };
    const fill = (text: string): string =>
      text.replaceAll(/\$\{([^}]+)\}/g, (whole, name: string) => values[name] ?? whole);
    const { command, args } = manifest.server.mcp_config;
    const client = await kind.connect({
      kind: "stdio",
      command: fill(command),
      args: args.map(fill),
      env: { PATH: dirname(process.execPath), HOME: join(world.root, "user") },
    });
    const names = (await client.tools()).map(({ name }) => name);
    await client.close();
    expect(names).toContain("deploy_service");
    expect(names).toContain("countersign_wait");
    expect(args.map(fill).join(" ")).not.toContain("${");
  });

  test("the whole command line is in it", () => {
    const program = join(unpacked, manifest.server.entry_point);
    expect(node(program, "--version").trim()).toBe(manifest.version);
    expect(node(program, "--home", world.home, "log", "verify")).toContain("the log is what was signed");
    // What it loads only when needed came along too.
    expect(node(program, "uninstall", "--host", "cursor", "--config", join(dir, "none.json"))).toContain(
      "nothing to change",
    );
  });
});
