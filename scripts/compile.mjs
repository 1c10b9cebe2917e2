// Makes dist/mcp.cache: the code that V8 compiled in a session of `mcp`, for the Node that runs this.
// Run after the bundle is made; src/start.ts says when it is used. Without git there is no home to try it on, and none is made.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Script } from "node:vm";

const here = fileURLToPath(import.meta.url);
const dist = new URL("../dist/", import.meta.url);
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** In the child: runs the program as src/start.ts does, and keeps what was compiled meanwhile. */
function runAndKeep() {
  const url = new URL("mcp.cjs", dist);
  const source = readFileSync(url);
  const script = new Script(source.toString("latin1"), {
    filename: fileURLToPath(url),
  });
  process.once("exit", () => {
    const code = script.createCachedData();
    const label = { node: process.version, arch: process.arch, script: sha256(source), code: sha256(code) };
    const file = new URL("mcp.cache", dist);
    const temporary = new URL(`mcp.cache.${process.pid}`, dist);
    writeFileSync(temporary, Buffer.concat([Buffer.from(`${JSON.stringify(label)}\n`), code]));
    renameSync(temporary, file);
  });
  script.runInThisContext()(createRequire(url), url.href);
}

const MESSAGES = [
  {
    id: 1,
    method: "initialize",
    params: {
      protocolVersion: "2025-06-18",
      capabilities: {},
      clientInfo: { name: "countersign-build", version: "1.0.0" },
    },
  },
  { method: "notifications/initialized" },
  { id: 2, method: "tools/list" },
];

/** A session of `mcp` on a home of the demo, in a process of its own. */
async function main() {
  rmSync(new URL("mcp.cache", dist), { force: true });
  const program = fileURLToPath(new URL("countersign.js", dist));
  const addresses = ["--mcp", "127.0.0.1:0", "--api", "localhost:0"];
  const limits = { signal: AbortSignal.timeout(120_000), killSignal: "SIGKILL" };
  const gateway = spawn(process.execPath, [program, "start", "--demo", ...addresses], {
    ...limits,
    stdio: "pipe",
  });
  const stopped = once(gateway, "close");
  stopped.catch(() => undefined);
  let said = "";
  let home = null;
  gateway.stderr.on("data", (chunk) => (said += chunk));
  for await (const line of createInterface({ input: gateway.stdout })) {
    said += `${line}\n`;
    home ??= / serves (.+?)  \(a throwaway demo home\)$/.exec(line)?.[1] ?? null;
    if (home !== null) break;
  }
  gateway.kill("SIGTERM");
  await stopped;
  if (home === null) throw new Error(`no home to try it on:\n${said.slice(0, 1_000)}`);
  try {
    const child = spawn(process.execPath, [here, "mcp", "--home", home], {
      ...limits,
      stdio: ["pipe", "pipe", "inherit"],
    });
    const ended = once(child, "close");
    let answers = 0;
    createInterface({ input: child.stdout }).on("line", () => {
      answers += 1;
      if (answers === 2) child.stdin.end();
    });
    for (const message of MESSAGES) child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
    const [code] = await ended;
    if (code !== 0 || answers !== 2)
      throw new Error(`the session ended with ${code} after ${answers} answers`);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

if (process.argv.length > 2) runAndKeep();
else {
  await main().catch((error) => {
    console.warn(`mcp.cache was not made, so that a start takes longer: ${error.message}`);
  });
}
