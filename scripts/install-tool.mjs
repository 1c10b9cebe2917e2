// Puts a tool of the tests, and the newer Node that it needs, into .cache/<name>. npm on Node 20 would silently pick old
// versions, so all are pinned by whoever calls, and none is a dependency of the project.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const NODE = "node@24.21.0";

export function installTool(name, pinned) {
  const folder = fileURLToPath(new URL(`../.cache/${name}`, import.meta.url));
  mkdirSync(folder, { recursive: true });
  const quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel", "error"];
  const npm = spawnSync(
    process.platform === "win32" ? "npm.cmd" : "npm",
    ["install", "--prefix", folder, ...quiet, NODE, pinned],
    { stdio: ["ignore", "inherit", "inherit"], cwd: folder },
  );
  process.exit(npm.status ?? 1);
}
