import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** Bundles a program of the tests into a directory, as what we ship is bundled, so that a killed one is back soon. */
export async function bundleChild(entry: URL, into: string): Promise<string> {
  const outfile = join(into, "child.mjs");
  // What stays outside the bundle is found beside it.
  symlinkSync(fileURLToPath(new URL("../../node_modules", import.meta.url)), join(into, "node_modules"));
  await build({
    entryPoints: [fileURLToPath(entry)],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    external: ["fs-native-extensions"],
    banner: {
      js: "import { createRequire as __r } from 'node:module'; const require = __r(import.meta.url);",
    },
    logLevel: "error",
  });
  return outfile;
}
