// Puts the official MCP conformance suite and the Node it needs into .cache/conformance.
// The suite needs Node 22 (fs.globSync), so both versions are pinned here and neither is a dependency of the project.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const PACKAGES = ["node@24.21.0", "@modelcontextprotocol/conformance@0.2.0-alpha.12"];
const folder = fileURLToPath(new URL("../.cache/conformance", import.meta.url));

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
