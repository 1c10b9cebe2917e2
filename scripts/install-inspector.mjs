// Puts the MCP Inspector and the Node it needs into .cache/inspector, for the tests that drive it as a client.
// The inspector needs Node 22 and npm on Node 20 would silently pick an old one, so both versions are pinned here.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const PACKAGES = ["node@24.21.0", "@modelcontextprotocol/inspector@2.12.0"];
const folder = fileURLToPath(new URL("../.cache/inspector", import.meta.url));

mkdirSync(folder, { recursive: true });
const npm = spawnSync(
  process.platform === "win32" ? "npm.cmd" : "npm",
  [
    "install",
    "--prefix",
    folder,
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    "--loglevel",
    "error",
    ...PACKAGES,
  ],
  { stdio: ["ignore", "inherit", "inherit"], cwd: folder },
);
process.exit(npm.status ?? 1);
