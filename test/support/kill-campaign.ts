import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { openAt } from "./embedded-bed.ts";
import { auditLog } from "./store-audit.ts";

export interface CampaignResult {
  readonly kills: number;
  readonly acknowledged: number;
  readonly lost: readonly string[];
  readonly entries: number;
}

/** Bundles the writer, so that a killed one is back in a tenth of a second. */
async function bundleWriter(into: string): Promise<string> {
  const outfile = join(into, "writer.mjs");
  // What stays outside the bundle is found beside it.
  symlinkSync(fileURLToPath(new URL("../../node_modules", import.meta.url)), join(into, "node_modules"));
  await build({
    entryPoints: [fileURLToPath(new URL("store-writer.ts", import.meta.url))],
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

/**
 * Lets `writers` processes append to one log and kills a random one with SIGKILL every `everyMs`, until `kills` have
 * been made; then checks the log. At most `limitMs`.
 */
export async function killCampaign(options: {
  readonly writers: number;
  readonly callers: number;
  readonly kills: number;
  readonly everyMs: number;
  readonly limitMs: number;
  readonly random: () => number;
}): Promise<CampaignResult> {
  const root = mkdtempSync(join(tmpdir(), "countersign-kill-"));
  const dir = join(root, "data");
  const script = await bundleWriter(root);
  await (await openAt(dir, { create: true })).close();
  const acknowledged = new Set<string>();
  const failures: string[] = [];
  const running: (ChildProcess & { isOpen?: boolean })[] = [];
  const ended: Promise<void>[] = [];
  let started = 0;

  const start = (slot: number): void => {
    started += 1;
    const child: (typeof running)[number] = spawn(
      process.execPath,
      [script, dir, `w${started}`, String(options.callers), String(256 * 1024)],
      { stdio: ["ignore", "pipe", "pipe"] },
    );
    running[slot] = child;
    let rest = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "open") child.isOpen = true;
        else acknowledged.add(line);
      }
    });
    child.stderr?.on("data", (chunk: Buffer) => failures.push(chunk.toString()));
    ended.push(new Promise((resolve) => void child.on("close", () => resolve())));
  };

  for (let slot = 0; slot < options.writers; slot += 1) start(slot);
  const deadline = Date.now() + options.limitMs;
  let kills = 0;
  while (kills < options.kills && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, options.everyMs * (0.5 + options.random())));
    const slot = Math.floor(options.random() * options.writers);
    if (running[slot]?.isOpen !== true) continue;
    running[slot]?.kill("SIGKILL");
    kills += 1;
    start(slot);
  }
  for (const child of running) child.kill("SIGKILL");
  await Promise.all(ended);
  if (failures.length > 0) throw new Error(`a writer failed: ${failures.join("\n").slice(0, 2_000)}`);
  const audit = await auditLog(dir);
  rmSync(root, { recursive: true });
  return {
    kills,
    acknowledged: acknowledged.size,
    lost: [...acknowledged].filter((batch) => !audit.batches.has(batch)),
    entries: audit.size,
  };
}
