// Bundles the command line into dist/countersign.js. Bundling cuts start-up CPU by about 40 % against loading the
// package tree, which matters because every MCP host spawns us. Packages with native code or big, lazy parts stay
// outside and are resolved from node_modules. Then the console's client code and styles, into dist/console.
import { build } from "esbuild";
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, relative } from "node:path";

// What stays outside; scripts/mcpb.mjs packs these beside the bundle.
const EXTERNAL = ["fs-native-extensions", "pino"];
const pkg = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
const { metafile: bundled } = await build({
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
  external: EXTERNAL,
  // jsonc-parser's "main" loads its parts by a require of its own that no bundler follows; its "module" is plain ESM.
  mainFields: ["module", "main"],
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  // Names stay as they are, for whoever reads a stack; what is left out is a fifth of what a start has to read.
  minifyWhitespace: true,
  minifySyntax: true,
  metafile: true,
  logLevel: "warning",
});
await chmod("dist/countersign.js", 0o755);
// Older builds leave chunks behind, for processes that still run from them: this says what belongs to the newest.
const outputs = Object.keys(bundled.outputs).filter((path) => path.endsWith(".js"));
await writeFile(
  "dist/bundled.json",
  `${JSON.stringify({ external: EXTERNAL, files: outputs.map((path) => relative("dist", path)) }, null, 2)}\n`,
);

// What browsers load. The content's hash stands in each name, so that it may be cached for ever; the manifest says which
// name is the newest. It is replaced last: a gateway that starts meanwhile finds the old names or the new ones, whole.
const outdir = "dist/console";
const { metafile } = await build({
  entryPoints: { main: "src/console/client/main.ts", console: "src/console/client/console.css" },
  outdir,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "browser",
  target: ["chrome111", "firefox115", "safari16.4"],
  minify: true,
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  alias: { "node:crypto": "./src/console/client/no-node-crypto.ts" },
  metafile: true,
  logLevel: "warning",
});
const files = Object.keys(metafile.outputs).map((path) => basename(path));
const entry = (source) =>
  basename(Object.keys(metafile.outputs).find((path) => metafile.outputs[path].entryPoint === source));
const manifest = {
  script: entry("src/console/client/main.ts"),
  style: entry("src/console/client/console.css"),
  files,
};
await mkdir(outdir, { recursive: true });
await writeFile(`${outdir}/manifest.json.new`, `${JSON.stringify(manifest, null, 2)}\n`);
await rename(`${outdir}/manifest.json.new`, `${outdir}/manifest.json`);
for (const name of await readdir(outdir)) {
  if (name !== "manifest.json" && !files.includes(name)) await rm(`${outdir}/${name}`, { force: true });
}
