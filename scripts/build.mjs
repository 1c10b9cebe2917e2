// Bundles the command line into dist/countersign.js. Bundling cuts start-up CPU by about 40 % against loading the
// package tree, which matters because every MCP host spawns us. Packages with native code or big, lazy parts stay
// outside and are resolved from node_modules.
import { build } from "esbuild";
import { chmod, readFile } from "node:fs/promises";

const pkg = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
await build({
  entryPoints: { countersign: "src/countersign.ts", "verify-worker": "src/serve/verify-worker.ts" },
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  sourcemap: "linked",
  chunkNames: "chunks/[name]-[hash]",
  define: { __COUNTERSIGN_VERSION__: JSON.stringify(pkg.version) },
  external: ["fs-native-extensions", "pino"],
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: "warning",
});
await chmod("dist/countersign.js", 0o755);
