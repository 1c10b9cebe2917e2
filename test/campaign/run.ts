import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { bundleChild } from "../support/bundle-child.ts";
import type { Audit } from "./audit.ts";
import { createCutDisk, missingForCuts } from "./power-cut.ts";
import { startRound } from "./round.ts";

// npm run campaign [-- --short] [--kills N] [--cuts N] [--seed N]
//
// Several gateways of one home under load, killed at random, and a file system that loses its power under them. After
// every round of kills and after every cut the home recovers and is held against the world and against what was answered.

const { values: flags } = parseArgs({
  options: {
    short: { type: "boolean", default: false },
    kills: { type: "string" },
    cuts: { type: "string" },
    seed: { type: "string" },
  },
});
const wanted = {
  kills: Number(flags.kills ?? (flags.short ? 30 : 2_000)),
  cuts: Number(flags.cuts ?? (flags.short ? 3 : 50)),
  perRound: flags.short ? 15 : 25,
  seed: Number(flags.seed ?? Date.now() & 0xffff),
  /** The short form has to end on a slow machine too: then with fewer kills, and it says how many. */
  leastKills: flags.short ? 10 : Number(flags.kills ?? 2_000),
  killMs: flags.short ? 45_000 : Number.POSITIVE_INFINITY,
};
const GATEWAYS = 3;
const CALLERS = 8;

function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
const random = randomFrom(wanted.seed);
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const total = {
  kills: 0,
  cuts: 0,
  rounds: 0,
  answers: 0,
  entries: 0,
  requests: 0,
  done: 0,
  unknown: 0,
  unasked: 0,
  cutOff: 0,
};
const broken: string[] = [];
function count(audit: Audit & { readonly answers: number }, where: string): void {
  total.rounds += 1;
  for (const name of ["answers", "entries", "requests", "done", "unknown", "unasked", "cutOff"] as const)
    total[name] += audit[name];
  for (const one of audit.broken.slice(0, 20)) broken.push(`${where}: ${one}`);
}

async function killRounds(program: string): Promise<void> {
  const over = Date.now() + wanted.killMs;
  while (total.kills < wanted.kills && Date.now() < over) {
    const round = await startRound({ program, gateways: GATEWAYS, callers: CALLERS, random });
    const goal = Math.min(wanted.perRound, wanted.kills - total.kills);
    const until = Math.min(over, Date.now() + 180_000);
    for (let kills = 0; kills < goal && Date.now() < until;) {
      await sleep(50 + random() * 700);
      const ready = round.load.ready();
      const victim = ready[Math.floor(random() * ready.length)];
      if (victim === undefined) continue;
      round.load.kill(victim);
      kills += 1;
      total.kills += 1;
    }
    count(await round.finish(), `round ${total.rounds + 1}`);
    say(`${total.kills} kills, ${total.answers} answers, ${total.cutOff} cut off, ${broken.length} broken`);
    if (broken.length > 20) break;
  }
}

async function powerCuts(program: string): Promise<void> {
  while (total.cuts < wanted.cuts) {
    const disk = createCutDisk();
    try {
      const at = disk.mountPoint;
      const round = await startRound({ program, gateways: 3, callers: CALLERS, random, at });
      const until = Date.now() + 60_000;
      while (round.load.ready().length < 2 && Date.now() < until) await sleep(20);
      await sleep(100 + random() * 900);
      // Answers that are read from here on do not count: the cut may be in front of them.
      round.load.freeze();
      disk.cut();
      total.cuts += 1;
      const audit = await round.finish(async () => disk.restore());
      count(audit, `cut ${total.cuts}`);
      if (total.cuts % 10 === 0 || total.cuts === wanted.cuts)
        say(
          `${total.cuts} power cuts, ${total.answers} answers, ${total.cutOff} cut off, ${broken.length} broken`,
        );
    } finally {
      disk.remove();
    }
    if (broken.length > 20) break;
  }
}

const place = mkdtempSync(join(tmpdir(), "countersign-campaign-program-"));
say(`seed ${wanted.seed}: ${wanted.kills} kills of ${GATEWAYS} gateways, ${wanted.cuts} power cuts`);
const started = Date.now();
try {
  const program = await bundleChild(new URL("child.ts", import.meta.url), place);
  await killRounds(program);
  const missing = wanted.cuts === 0 ? null : missingForCuts();
  if (missing === null) await powerCuts(program);
  else {
    say(`no power can be cut here (${missing}); the simulated cuts run instead`);
    const args = ["vitest", "run", "test/crash/store-power-cut.test.ts"];
    const simulated = spawnSync("npx", args, { stdio: ["ignore", "ignore", "inherit"] });
    if (simulated.status !== 0) broken.push("the simulated power cuts failed");
  }
} finally {
  rmSync(place, { recursive: true, force: true });
}
for (const one of broken) say(`BROKEN ${one}`);
say(JSON.stringify({ ...total, broken: broken.length, seconds: Math.round((Date.now() - started) / 1_000) }));
process.exitCode = broken.length === 0 && total.kills >= wanted.leastKills ? 0 : 1;
