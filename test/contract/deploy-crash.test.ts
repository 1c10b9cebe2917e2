import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { deployKitWorld, startChild } from "../support/deploy-kit-world.ts";
import { makeDeployWorld, type DeployWorld } from "../support/deploy-world.ts";

// The kit kills at the steps a tool reports. Here the gateway dies at any moment, between any two system calls.

let world: DeployWorld;
beforeEach(() => {
  world = makeDeployWorld();
});
afterEach(() => world.remove());

test("killed at any moment, what is served is the old release whole or the new one whole, and reconcile knows which", async () => {
  const kit = deployKitWorld(world);
  await kit.reset();
  // Health takes a moment, so that some kills fall after the switch.
  writeFileSync(join(world.dir, "health.sh"), "#!/bin/sh\nsleep 0.05\n", { mode: 0o755 });
  const answers: Record<string, number> = {};
  // The first round runs to its end and shows how long that takes here; the kills of the others are spread over it.
  let wholeMs = 0;
  for (let round = 0; round <= 16; round += 1) {
    const id = String(round);
    const files = Object.fromEntries(
      Array.from({ length: 60 }, (_, i) => [`f${i % 7}/g${i}.txt`, `${id} ${i}\n`]),
    );
    world.source.commit({ ...files, "app.js": `${id}\n` });
    const before = await kit.snapshot();
    const preview = await world.preview();
    const child = startChild(
      world,
      { plan: preview.plan, files: preview.files ?? [], requestId: "req_child" },
      -1,
    );
    await child.started;
    const started = performance.now();
    if (round > 0) {
      await sleep((wholeMs * 1.5 * round) / 16);
      child.kill();
    }
    await child.end;
    if (round === 0) wholeMs = performance.now() - started;

    const answer = await world.tool().reconcile(preview.plan, world.context());
    if (round > 0) answers[answer] = (answers[answer] ?? 0) + 1;
    const after = await kit.snapshot();
    if (answer === "done") {
      expect(world.served("app.js")).toBe(`${id}\n`);
      for (const [path, content] of Object.entries(files)) expect(world.served(path)).toBe(content);
    } else {
      expect(answer).toBe("not_done");
      expect(after).toBe(before);
    }
    // Nothing stands in the way of the next deploy, and it clears up.
    await world.deploy();
    expect(world.served("app.js")).toBe(`${id}\n`);
    expect(readdirSync(join(world.root, "releases")).filter((name) => name.startsWith("."))).toEqual([]);
  }
  // Both kinds came up, or the delays tell nothing.
  expect(answers["done"]).toBeGreaterThan(0);
  expect(answers["not_done"]).toBeGreaterThan(0);
});
