// Bundles the command line into dist/countersign.js. Bundling cuts start-up CPU by about 40 % against loading the
// package tree, which matters because every MCP host spawns us. Packages with native code or big, lazy parts stay
// outside and are resolved from node_modules. Then the console's client code and styles, into dist/console.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { leanSdk } from "./lean-sdk.mjs";

// What stays outside; scripts/mcpb.mjs packs these beside the bundle.
const EXTERNAL = ["fs-native-extensions", "pino"];
const pkg = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8"));
const program = {
  bundle: true,
  platform: "node",
  target: "node20",
  define: { __COUNTERSIGN_VERSION__: JSON.stringify(pkg.version) },
  external: EXTERNAL,
  alias: { "@modelcontextprotocol/server/_shims": "./scripts/lazy-shims.mjs" },
  // jsonc-parser's "main" loads its parts by a require of its own that no bundler follows; its "module" is plain ESM.
  mainFields: ["module", "main"],
  // Names stay as they are, for whoever reads a stack; what is left out is a fifth of what a start has to read.
  minifyWhitespace: true,
  minifySyntax: true,
  plugins: [leanSdk],
  logLevel: "warning",
};
const { metafile: bundled } = await build({
  ...program,
  entryPoints: { program: "src/countersign.ts", "verify-worker": "src/serve/verify-worker.ts" },
  outdir: "dist",
  splitting: true,
  format: "esm",
  sourcemap: "linked",
  chunkNames: "chunks/[name]-[hash]",
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  metafile: true,
});

// The same program as one script, which is what V8 keeps compiled code of. It runs `mcp` and no other command, and what no
// start of that can reach is left out: each function of it would be read with the compiled code.
const BEYOND_MCP = [
  "cli/every-command.ts",
  "demo/story.ts",
  "demo/workspace.ts",
  "proofs.ts",
  "serve/gateway.ts",
  "upstream/examine.ts",
  "upstream/live.ts",
  "upstream/make-tools.ts",
];
const left = new Set(BEYOND_MCP);
const leavesOut = {
  name: "beyond mcp",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir, kind }) => {
      const file = relative("src", join(resolveDir, path)).replaceAll("\\", "/");
      if (kind !== "dynamic-import" || !BEYOND_MCP.includes(file)) return undefined;
      left.delete(file);
      return { path: file, namespace: "beyond-mcp" };
    });
    onLoad({ filter: /./, namespace: "beyond-mcp" }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(`${path} is not part of what mcp runs`)})`,
    }));
  },
};
// Builtins that a start has no use for, and what of them is called.
const LATER = {
  "node:child_process": ["spawn", "execFile"],
  "node:readline": ["createInterface"],
  "node:zlib": ["crc32", "inflateRawSync"],
};
const loadsLater = {
  name: "loaded when called",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, namespace }) =>
      namespace === "later" || !Object.hasOwn(LATER, path) ? undefined : { path, namespace: "later" },
    );
    onLoad({ filter: /./, namespace: "later" }, ({ path }) => ({
      contents: LATER[path]
        .map((name) => `exports.${name} = (...given) => require("${path}").${name}(...given);`)
        .join(""),
    }));
  },
};
const { outputFiles } = await build({
  ...program,
  entryPoints: ["src/countersign.ts"],
  format: "cjs",
  banner: { js: '"use strict";(function(require,__url){' },
  footer: { js: "})" },
  define: { ...program.define, "import.meta.url": "__url" },
  // An import() of a script that V8 took from its cache finds no loader on Node 20; a package that stays outside is required.
  supported: { "dynamic-import": false },
  plugins: [leanSdk, leavesOut, loadsLater],
  write: false,
});
if (left.size > 0) throw new Error(`not loaded by an import() any more: ${[...left].join(", ")}`);
await writeFile("dist/mcp.cjs.new", asAscii(outputFiles[0].text), "latin1");
await rename("dist/mcp.cjs.new", "dist/mcp.cjs");

// What the command starts with: it takes one of the two.
await build({
  ...program,
  entryPoints: { countersign: "src/start.ts" },
  outdir: "dist",
  format: "esm",
  plugins: [
    {
      name: "the program lies beside it",
      setup: ({ onResolve }) =>
        onResolve({ filter: /^\.\/countersign\.ts$/ }, () => ({ path: "./program.js", external: true })),
    },
  ],
});
await chmod("dist/countersign.js", 0o755);
// Older builds leave chunks behind, for processes that still run from them: this says what belongs to the newest.
// The script and its compiled code are not listed: whoever packs these files does not know which Node will run them.
const outputs = [
  "dist/countersign.js",
  ...Object.keys(bundled.outputs).filter((path) => path.endsWith(".js")),
];
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

const { status } = spawnSync(process.execPath, [fileURLToPath(new URL("compile.mjs", import.meta.url))], {
  stdio: "inherit",
});
if (status !== 0) process.exitCode = 1;

/** A byte for each character: V8 then reads half as much. What the bundler leaves are letters in regular expressions. */
function asAscii(text) {
  return text.replaceAll(
    /[^\0-\x7f]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
