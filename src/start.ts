#!/usr/bin/env node
import { createRequire } from "node:module";
import { isMcp } from "./cli/is-mcp.ts";

// What the command `countersign` starts with. A host starts `mcp` with every session, and a third of that was compiling two
// megabytes again: where its code was compiled by this very Node, it runs as one script with that code, and else as the
// modules that every other command runs from. Both are bundled from the same files.
//
//   S1. Compiled code runs only beside the script it was made from, whole, as it was made: digests of both stand in its
//       first line. V8 itself compares no more than a length.
//   S2. Whatever is missing, cannot be read or does not fit means the modules, and is no error.
//   S3. It is trusted as everything in this directory is: whoever can write here can replace the program.

const require = createRequire(import.meta.url);
// Not by `import`, which makes a module of each of them first.
const { createHash } = require("node:crypto") as typeof import("node:crypto");
const { readFileSync } = require("node:fs") as typeof import("node:fs");
const { fileURLToPath } = require("node:url") as typeof import("node:url");
const { Script } = require("node:vm") as typeof import("node:vm");

/** The first line of `mcp.cache`. */
interface Label {
  readonly node: string;
  readonly arch: string;
  readonly script: string;
  readonly code: string;
}

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The script and its compiled code as the build left them in `directory`; null where they are not for this Node. */
function readCompiled(directory: URL): { readonly script: Buffer; readonly code: Buffer } | null {
  try {
    const cache = readFileSync(new URL("mcp.cache", directory));
    const end = cache.indexOf(10);
    const label = JSON.parse(cache.toString("latin1", 0, end)) as Label;
    if (label.node !== process.version || label.arch !== process.arch) return null;
    const code = cache.subarray(end + 1);
    const script = readFileSync(new URL("mcp.cjs", directory));
    return label.script === sha256(script) && label.code === sha256(code) ? { script, code } : null;
  } catch {
    return null;
  }
}

const directory = new URL("./", import.meta.url);
const compiled = isMcp(process.argv.slice(2)) ? readCompiled(directory) : null;
if (compiled === null) {
  // A constant, for the bundler: this file is built by itself.
  await import("./countersign.ts");
} else {
  const url = new URL("mcp.cjs", directory);
  const script = new Script(compiled.script.toString("latin1"), {
    filename: fileURLToPath(url),
    cachedData: compiled.code,
  });
  const run = script.runInThisContext() as (require: NodeJS.Require, url: string) => void;
  run(require, url.href);
}
