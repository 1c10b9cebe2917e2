import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";
import { afterEach, beforeEach, expect, test } from "vitest";

// Which of the two forms of the program the command runs (src/start.ts): here beside stand-ins of both, which say so.

const COMMAND = fileURLToPath(new URL("../../dist/countersign.js", import.meta.url));
const SCRIPT = '"use strict";(function(require,url){console.log("script",url.endsWith("/mcp.cjs"))})';

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "countersign-start-"));
  copyFileSync(COMMAND, join(dir, "countersign.js"));
  writeFileSync(join(dir, "package.json"), '{"type":"module"}');
  writeFileSync(join(dir, "program.js"), 'console.log("modules")');
  compile();
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

function compile(label: Readonly<Record<string, string>> = {}, code?: Buffer): void {
  writeFileSync(join(dir, "mcp.cjs"), SCRIPT);
  const made = code ?? new Script(SCRIPT).createCachedData();
  const facts = { node: process.version, arch: process.arch, script: sha256(Buffer.from(SCRIPT)) };
  const line = JSON.stringify({ ...facts, code: sha256(made), ...label });
  writeFileSync(join(dir, "mcp.cache"), Buffer.concat([Buffer.from(`${line}\n`), made]));
}

function ran(words: readonly string[] = ["mcp"], flags: readonly string[] = []): string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...flags, join(dir, "countersign.js"), ...words],
    {
      encoding: "utf8",
    },
  );
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout.trim();
}

test("mcp runs from the script whose compiled code this Node made", () => {
  expect(ran()).toBe("script true");
  expect(ran(["--home", "/srv/home", "mcp", "--agent", "claude"])).toBe("script true");
});

test.each([[["pending"]], [["--home", "mcp", "pending"]], [[]]])(
  "any other command runs from modules: %j",
  (words) => expect(ran(words)).toBe("modules"),
);

test("code of another Node, or of another processor, is left alone", () => {
  compile({ node: "v20.0.0" });
  expect(ran()).toBe("modules");
  compile({ arch: "pdp11" });
  expect(ran()).toBe("modules");
});

test("a script that was changed after its code was made does not run, even where its length is the same", () => {
  writeFileSync(join(dir, "mcp.cjs"), SCRIPT.replace("script", "SCRIPT"));
  expect(ran()).toBe("modules");
});

test.each(["a byte changed", "cut short", "emptied", "without a label", "gone"])(
  "compiled code that is not as it was made is not used: %s",
  (what) => {
    const file = join(dir, "mcp.cache");
    const bytes = readFileSync(file);
    if (what === "gone") rmSync(file);
    else if (what === "emptied") writeFileSync(file, "");
    else if (what === "cut short") writeFileSync(file, bytes.subarray(0, -1));
    else if (what === "without a label") writeFileSync(file, bytes.subarray(bytes.indexOf(10) + 1));
    else {
      bytes[bytes.length - 20]! ^= 1;
      writeFileSync(file, bytes);
    }
    expect(ran()).toBe("modules");
  },
);

test("code that V8 itself refuses costs time and nothing else", () => {
  // Other flags than it was compiled with, and no compiled code at all.
  expect(ran(["mcp"], ["--no-opt"])).toBe("script true");
  compile({}, Buffer.from("not what V8 makes"));
  expect(ran()).toBe("script true");
});

test("the build leaves compiled code for the Node that ran it", () => {
  const dist = new URL("../../dist/", import.meta.url);
  const cache = readFileSync(new URL("mcp.cache", dist));
  const label = JSON.parse(cache.toString("latin1", 0, cache.indexOf(10))) as Record<string, string>;
  expect(label["script"]).toBe(sha256(readFileSync(new URL("mcp.cjs", dist))));
  expect(label["code"]).toBe(sha256(cache.subarray(cache.indexOf(10) + 1)));
  expect(label["node"]).toMatch(/^v\d+\.\d+\.\d+$/);
  const { files } = JSON.parse(readFileSync(new URL("bundled.json", dist), "utf8")) as { files: string[] };
  expect(files).toContain("countersign.js");
  expect(files).toContain("program.js");
  expect(files).not.toContain("mcp.cache");
});
