import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleChild } from "./bundle-child.ts";
import { openAt } from "./embedded-bed.ts";
import { auditLog } from "./store-audit.ts";

export interface CampaignResult {
  readonly kills: number;
  readonly acknowledged: number;
  readonly lost: readonly string[];
  readonly entries: number;
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
  const script = await bundleChild(new URL("store-writer.ts", import.meta.url), root);
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
