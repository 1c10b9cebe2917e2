// Packs dist/countersign.mcpb, which Claude Desktop installs with a click: the bundled command line, the packages that
// stay outside the bundle, and a manifest that asks for the home and the agent. Run scripts/build.mjs first.
//
//   node scripts/mcpb.mjs [DIRECTORY]      where to put mcpb/ and countersign.mcpb; dist unless said otherwise
import { spawnSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const out = process.argv[2] ?? join(root, "dist");
const stage = join(out, "mcpb");
const json = async (path) => JSON.parse(await readFile(path, "utf8"));
const pkg = await json(join(root, "package.json"));

/** What the bundle claims to run on. The add-on for file locks has to be there for every one of them. */
const PLATFORMS = ["darwin", "linux", "win32"];
const MACHINES = ["x64", "arm64"];

const manifest = {
  manifest_version: "0.4",
  name: pkg.name,
  display_name: "Countersign",
  version: pkg.version,
  description: pkg.description,
  long_description:
    "Calls that change infrastructure wait until the right people have approved exactly what will run. " +
    "First make a home in a terminal, with `countersign init`: it makes you the first approver. " +
    "Then name that home here, and the agent that Claude Desktop is in its policy.",
  author: { name: "Countersign contributors" },
  license: pkg.license,
  keywords: ["approval", "infrastructure", "audit"],
  server: {
    type: "node",
    entry_point: "server/countersign.js",
    mcp_config: {
      command: "node",
      args: [
        "${__dirname}/server/countersign.js",
        "mcp",
        "--home",
        "${user_config.home}",
        "--agent",
        "${user_config.agent}",
      ],
    },
  },
  tools_generated: true,
  compatibility: { platforms: PLATFORMS, runtimes: { node: pkg.engines.node } },
  user_config: {
    home: {
      type: "directory",
      title: "Home",
      description:
        "The directory that `countersign init` made: countersign.yaml and policy.yaml stand in it.",
      required: true,
    },
    agent: {
      type: "string",
      title: "Agent",
      description: "Which agent of policy.yaml Claude Desktop is. Its owners can't approve what it asks for.",
      default: "claude-desktop",
      required: true,
    },
  },
};

async function main() {
  await rm(stage, { recursive: true, force: true });
  const { external, files } = await json(join(root, "dist", "bundled.json"));
  for (const file of files) await copy(join(root, "dist", file), join(stage, "server", file));
  await copy(join(root, "dist", "console"), join(stage, "server", "console"));
  await copy(join(root, "LICENSE"), join(stage, "LICENSE"));
  for (const name of await closure(external)) await copyPackage(name);
  await demandAddOn();
  const { name, version, license } = pkg;
  await write(join(stage, "package.json"), { name, version, license, private: true, type: "module" });
  await write(join(stage, "manifest.json"), manifest);
  const archive = join(out, "countersign.mcpb");
  await rm(archive, { force: true });
  mcpb("validate", join(stage, "manifest.json"));
  mcpb("pack", stage, archive);
  const { size } = await stat(archive);
  console.log(`${archive} ${(size / 2 ** 20).toFixed(1)} MiB`);
}

/** These packages and all that they need, as they lie in node_modules. */
async function closure(names) {
  const all = new Set();
  const add = async (name) => {
    if (all.has(name)) return;
    all.add(name);
    const { dependencies = {} } = await json(join(root, "node_modules", name, "package.json"));
    for (const needed of Object.keys(dependencies)) await add(needed);
  };
  for (const name of names) await add(name);
  return [...all];
}

/** Without what only their authors need, and without add-ons for machines that the bundle does not claim. */
async function copyPackage(name) {
  const from = join(root, "node_modules", name);
  const nested = await readdir(join(from, "node_modules")).catch(() => []);
  if (nested.length > 0)
    throw new Error(`${name} has packages of its own; this script copies flat ones only`);
  const wanted = new Set(
    PLATFORMS.flatMap((platform) => MACHINES.map((machine) => `${platform}-${machine}`)),
  );
  const skipped = /^(?:test|tests|bench|benchmarks|benchmark|docs|examples|include|src|CMakeLists\.txt)$/;
  await cp(from, join(stage, "node_modules", name), {
    recursive: true,
    filter(path) {
      const [first = "", second] = path.slice(from.length + 1).split(/[\\/]/);
      if (first === "prebuilds")
        return second === undefined || (wanted.has(second) && !path.endsWith(".bare"));
      if (first === "src") return !name.includes("native");
      return !(
        skipped.test(first) ||
        first.startsWith(".") ||
        /\.(?:md|map|d\.[cm]?ts|c)$/.test(basename(path))
      );
    },
  });
}

async function demandAddOn() {
  const prebuilds = join(stage, "node_modules", "fs-native-extensions", "prebuilds");
  for (const platform of PLATFORMS) {
    for (const machine of MACHINES) {
      await stat(join(prebuilds, `${platform}-${machine}`, "fs-native-extensions.node"));
    }
  }
}

function mcpb(...words) {
  const cli = join(root, "node_modules", "@anthropic-ai", "mcpb", "dist", "cli", "cli.js");
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...words], { encoding: "utf8" });
  if (status !== 0) throw new Error(`mcpb ${words.join(" ")} failed:\n${stdout}${stderr}`);
}

async function copy(from, to) {
  await mkdir(dirname(to), { recursive: true });
  await cp(from, to, { recursive: true });
}

const write = (path, value) => writeFile(path, `${JSON.stringify(value, null, 2)}\n`);

await main();
