import { build } from "esbuild";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { openRealHome } from "../test/support/real-gateway.ts";
import { median, type Bench } from "./rows.ts";
import { benchDir } from "./store-home.ts";

// What a host pays to start us over stdio: processor time from the spawn to the end of a session of one answered
// `initialize`, of the shipped command and of a bare bundled server of the same SDK, in turns.

/** Tells on standard error, at its end, what processor time the process took. */
const TELLS_CPU = `data:text/javascript,${encodeURIComponent(
  'import { writeSync } from "node:fs"; process.on("exit", () => { const { user, system } = process.cpuUsage(); ' +
    'writeSync(2, "\\ncpu " + (user + system) / 1000 + "\\n"); });',
)}`;

const INITIALIZE = `${JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: {
    protocolVersion: "2025-06-18",
    capabilities: {},
    clientInfo: { name: "countersign-bench", version: "1.0.0" },
  },
})}\n`;

/** Milliseconds of processor time, and of the clock until the first answer. */
async function start(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ readonly cpu: number; readonly wall: number }> {
  const began = performance.now();
  const child = spawn(process.execPath, ["--import", TELLS_CPU, ...args], { env, stdio: "pipe" });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
  child.stdin.write(INITIALIZE);
  await once(createInterface({ input: child.stdout }), "line");
  const wall = performance.now() - began;
  const closed = once(child, "close");
  child.stdin.end();
  const late = setTimeout(() => child.kill("SIGTERM"), 5_000);
  await closed;
  clearTimeout(late);
  const cpu = Number(/\ncpu ([\d.]+)\n/.exec(said)?.[1]);
  if (!Number.isFinite(cpu)) throw new Error(`a server of the bench did not end well: ${said.slice(0, 500)}`);
  return { cpu, wall };
}

/** Cold start of the stdio command against a bare server. */
export const coldStart: Bench = async ({ quick }) => {
  const { dir, remove } = benchDir();
  const home = await openRealHome();
  try {
    const outfile = join(dir, "start-server.mjs");
    await build({
      entryPoints: ["bench/start-server.ts"],
      ...{ outfile, bundle: true, format: "esm", platform: "node", target: "node20", logLevel: "warning" },
      // As our own build does it, or the reference would be dearer than it has to be.
      ...{ minifyWhitespace: true, minifySyntax: true },
    });
    const { args, env } = home.stdio();
    const environment = { ...(process.env as Record<string, string>), ...env };
    // Node parses such a file at every start: as much again as the rest of an empty one, on both sides of the ratio.
    delete environment["NODE_EXTRA_CA_CERTS"];
    const ours: { cpu: number; wall: number }[] = [];
    const bare: { cpu: number; wall: number }[] = [];
    for (let round = 0; round < (quick ? 5 : 15); round += 1) {
      bare.push(await start([outfile], environment));
      ours.push(await start(args, environment));
    }
    return (["cpu", "wall"] as const).map((what) => {
      const mine = median(ours.map((one) => one[what]));
      const reference = median(bare.map((one) => one[what]));
      return {
        name: what === "cpu" ? "cold start over stdio, processor time" : "the same, until the first answer",
        ours: `${mine.toFixed(0)} ms`,
        reference: `${reference.toFixed(0)} ms a bare bundled server`,
        ratio: mine / reference,
        bar: what === "cpu" ? "<= 1.5" : null,
      };
    });
  } finally {
    await home.close();
    remove();
  }
};
