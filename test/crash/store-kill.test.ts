import { expect, test } from "vitest";
import { killCampaign } from "../support/kill-campaign.ts";

// Several processes append to one log while a random one is killed, again and again. For a long campaign:
// COUNTERSIGN_KILLS=2000 npx vitest run test/crash/store-kill

const kills = Number(process.env["COUNTERSIGN_KILLS"] ?? "40");
const limitMs = Math.max(40_000, kills * 1_000);

test(
  "killing writers loses nothing acknowledged, leaves no gap, no repeat and no half batch",
  async () => {
    const result = await killCampaign({
      ...{ writers: 3, callers: 8, kills, everyMs: 250, limitMs },
      random: Math.random,
    });
    process.stderr.write(`${JSON.stringify({ ...result, lost: result.lost.length })}\n`);
    expect(result.lost).toEqual([]);
    expect(result.acknowledged).toBeGreaterThan(500);
    expect(result.kills).toBeGreaterThanOrEqual(Math.min(kills, 20));
  },
  limitMs + 60_000,
);
