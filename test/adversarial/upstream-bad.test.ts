import { tmpdir } from "node:os";
import { afterEach, describe, expect, test } from "vitest";
import { passedResult } from "../../src/transport/mcp/fronted.ts";
import { createPool } from "../../src/upstream/pool.ts";
import { upstreamRegistration } from "../../src/upstream/registration.ts";
import { pino } from "pino";
import type { Reply } from "../../src/gate/reply.ts";
import { fixtureEntry, makeUpstreamWorld, type UpstreamWorld } from "../support/upstream-world.ts";
import { callTool, CALLER } from "../support/world.ts";

// Servers that hang, crash, flood, lie about themselves or send too much. Does each get a clear error of its own, does
// everything beside it go on, and does none of it cost memory or time without end?

let world: UpstreamWorld | null = null;
afterEach(async () => {
  await world?.close();
  world = null;
});

const free = { tools: { append: { effect: "read" }, crash: { effect: "read" }, big: { effect: "read" } } };
const good = (dir: string): object => fixtureEntry(dir, { entry: { ...free, environment: "lab" } });
const bad = (dir: string, mode: string, more: object = {}): object =>
  fixtureEntry(dir, {
    env: { FIXTURE_MODE: mode },
    entry: { environment: "lab", connect_timeout: "3s", ...more },
  });
const call = (at: UpstreamWorld, tool: string, args = {}): Promise<Reply> =>
  callTool(at.home, tool, args, { holdMs: 60_000 });
const told = (at: UpstreamWorld): string => at.said.join("");

/** A home whose bad server was a good one when it was accepted. */
async function turned(mode: string, more: object = {}): Promise<UpstreamWorld> {
  const made = await makeUpstreamWorld((dir) => ({ bad: good(dir), fix: good(dir) }));
  await made.register({ bad: bad(made.dir, mode, { ...free, ...more }), fix: good(made.dir) });
  return made;
}

describe("a server that is no server", () => {
  test.each(["exit", "silent", "garbage", "hang_list"])(
    "%s: its calls are refused with a code, and the one beside it answers meanwhile",
    async (mode) => {
      world = await turned(mode);
      const slow = call(world, "bad__append", { line: 1 });
      const reply = await call(world, "fix__append", { line: 2 });
      expect(passedResult(reply)).not.toBeNull();
      const code = mode === "hang_list" ? "upstream_silent" : "upstream_unavailable";
      expect(await slow).toMatchObject({ status: "failed", code });
      expect(world.effects().map(({ args }) => args)).toEqual([{ line: 2 }]);
    },
  );

  test("lines on stdout that are no messages are told, neutralised, and do no harm", async () => {
    world = await turned("noise");
    expect(passedResult(await call(world, "bad__append", { line: 1 }))).not.toBeNull();
    expect(told(world)).toContain("not a message on the upstream's stdout");
  });

  test("what it floods stderr with is neutralised and bounded", async () => {
    world = await turned("stderr");
    expect(passedResult(await call(world, "bad__append", { line: 1 }))).not.toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const lines = world.said.filter((line) => line.includes("upstream says"));
    expect(lines.length).toBeLessThan(150);
    expect(lines.join("")).toContain("⟦U+202E⟧");
    expect(lines.join("")).not.toContain("\u202e");
  });
});

test("a server that crashes in a call is started again, with a pause that grows, and never per call", async () => {
  world = await makeUpstreamWorld((dir) => ({ fix: good(dir) }));
  const before = world.starts().length;
  expect(await call(world, "fix__crash", {})).toMatchObject({ status: "failed", code: "upstream_silent" });
  const burst = await Promise.all(
    Array.from({ length: 20 }, (_, i) => call(world as UpstreamWorld, "fix__append", { line: i })),
  );
  // At once it is too early: they are told so. A moment later it runs again.
  for (const reply of burst) expect(["done", "failed"]).toContain(reply.status);
  await expect
    .poll(async () => (await call(world as UpstreamWorld, "fix__append", { line: Math.random() })).status, {
      timeout: 20_000,
      interval: 300,
    })
    .toBe("done");
  expect(world.starts().length - before).toBe(2);
});

test("replies of 50 MB are errors, and not 50 MB of memory each", async () => {
  world = await makeUpstreamWorld((dir) => ({ fix: good(dir) }));
  await call(world, "fix__append", { line: 1 });
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 6; i += 1) {
    expect(await call(world, "fix__big", { again: i })).toMatchObject({
      status: "failed",
      code: "upstream_silent",
      message: expect.stringMatching(/message of 5\d+ bytes/) as string,
    });
  }
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
  expect(passedResult(await call(world, "fix__append", { line: 2 }))).not.toBeNull();
});

test("10,000 tools over many pages are all there, and each can be called", async () => {
  world = await makeUpstreamWorld((dir) => ({
    fix: fixtureEntry(dir, { env: { FIXTURE_TOOLS: "10000", FIXTURE_PAGE: "500" } }),
  }));
  expect(world.home.gate.tools().filter(({ name }) => name.startsWith("fix__extra_"))).toHaveLength(10_000);
  expect(passedResult(await call(world, "fix__extra_9999", {}))).not.toBeNull();
});

test("a list that goes in circles ends", async () => {
  const pool = createPool({
    version: "t",
    env: process.env,
    workRoot: tmpdir(),
    log: pino({ level: "silent" }),
  });
  world = await makeUpstreamWorld((dir) => ({ fix: good(dir) }));
  const entry = upstreamRegistration.parse(
    fixtureEntry(world.dir, { env: { FIXTURE_MODE: "circle", FIXTURE_PAGE: "1" } }),
  );
  await expect(pool.upstream("x", entry).list(0)).rejects.toThrow(/circles/);
  await pool.close();
});

test("definitions that can't be used are left out with their reason, and the others are there", async () => {
  const log = pino({ level: "silent" });
  world = await makeUpstreamWorld((dir) => ({
    fix: fixtureEntry(dir, { env: { FIXTURE_MODE: "bad" }, entry: free }),
  }));
  const names = world.home.gate.tools().map(({ name }) => name);
  expect(names).toContain("fix__append");
  for (const name of ["remote_ref", "no_object", "bomb", "twice", "spa ce", "huge_number"]) {
    expect(names).not.toContain(`fix__${name}`);
  }
  const pool = createPool({ version: "t", env: process.env, workRoot: tmpdir(), log });
  const { problems } = await pool
    .upstream("fix", upstreamRegistration.parse(fixtureEntry(world.dir, { env: { FIXTURE_MODE: "bad" } })))
    .list(0);
  expect(Object.fromEntries(problems.map(({ tool, why }) => [tool.slice(0, 20), why]))).toMatchObject({
    twice: "is listed more than once",
    "spa ce": expect.stringContaining("has a name outside") as string,
    nnnnnnnnnnnnnnnnnnnn: expect.stringContaining("at most 128") as string,
    huge_number: expect.stringContaining("can't be pinned") as string,
  });
  await pool.close();
  expect(passedResult(await call(world, "fix__append", { line: 1 }))).not.toBeNull();
});

test("a tool that calls itself read-only and leaks the environment is held, and has nothing of the gateway's to leak", async () => {
  world = await makeUpstreamWorld((dir) => ({ fix: fixtureEntry(dir) }));
  expect(await callTool(world.home, "fix__leak_env", {}, { holdMs: 0 })).toMatchObject({ status: "pending" });
  for (const line of world.starts()) expect(line).not.toMatch(/COUNTERSIGN|NODE_OPTIONS|SSH_/);
});

test("nobody's token, account or request goes to an upstream but the request's id", async () => {
  world = await makeUpstreamWorld((dir) => ({ fix: good(dir) }));
  await callTool(
    world.home,
    "fix__append",
    { line: 1 },
    { holdMs: 20_000, callId: "toolu_1", caller: CALLER },
  );
  const [effect] = world.effects();
  expect(Object.keys(effect?.meta ?? {}).filter((key) => key.startsWith("dev.countersign/"))).toEqual([
    "dev.countersign/request",
    "dev.countersign/idempotencyKey",
  ]);
  expect(JSON.stringify(effect?.meta)).not.toMatch(/ana|claude|toolu_1/);
});
