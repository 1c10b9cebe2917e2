import { afterEach, expect, test } from "vitest";
import type { Documents } from "../../src/tool.ts";
import { fixtureEntry, makeUpstreamWorld, type UpstreamWorld } from "../support/upstream-world.ts";
import { CALLER } from "../support/world.ts";

// Resources of servers that run: what may be looked at how often, and what a server owns that is not there.

let world: UpstreamWorld | null = null;
afterEach(async () => {
  await world?.close();
  world = null;
});

const documentsOf = (at: UpstreamWorld, alias: string): Documents => {
  const found = at.home.gate.tools().find(({ name }) => name === `${alias}__resources/read`)
    ?.upstream?.documents;
  if (found === undefined) throw new Error("no documents");
  return found;
};

test("lists are counted by the minute for each caller, and a token that is good for no reading sees none", async () => {
  world = await makeUpstreamWorld((dir) => ({ fix: fixtureEntry(dir, { entry: { resources: true } }) }));
  const { gate } = world.home;
  for (let i = 0; i < 120; i += 1) expect(await gate.look(CALLER)).toBeNull();
  expect(await gate.look(CALLER)).toMatchObject({ status: "refused", code: "rate_limited" });
  expect(await gate.look({ ...CALLER, agent: "cursor" })).toBeNull();
  expect(await gate.look({ ...CALLER, agent: "cursor", permits: ["write"] })).toMatchObject({
    code: "insufficient_scope",
  });
});

test("what a server lists and what fits its patterns is its own; of one that never answered nothing is known", async () => {
  world = await makeUpstreamWorld(
    (dir) => ({
      fix: fixtureEntry(dir, { entry: { resources: true } }),
      gone: { command: ["/nowhere/server"], environment: "prod", resources: true },
    }),
    { accept: false },
  );
  await world.accept(["append"]);
  const fix = documentsOf(world, "fix");
  expect(await fix.owns("resource", "fixture://state")).toBe(true);
  expect(await fix.owns("resource", "fixture://anything")).toBe(true);
  expect(await fix.owns("resource", "other://state")).toBe(false);
  expect(await fix.owns("prompt", "greet")).toBe(true);
  await expect(documentsOf(world, "gone").owns("resource", "fixture://state")).rejects.toThrow();
});
