import { afterEach, beforeEach, expect, test } from "vitest";
import type { Surroundings } from "../../src/config/environment.ts";
import { aroundWorld, cliRun, type CliRun } from "../support/cli-run.ts";
import { callTool, makeWorld, type World } from "../support/world.ts";

// Replay on the command line, on a real home: what it prints, and with which code it ends.

let world: World;
let around: Surroundings;
beforeEach(async () => {
  world = await makeWorld();
  around = await aroundWorld(world);
});
afterEach(() => world.close());

const run = async (argv: readonly string[]): Promise<CliRun> =>
  cliRun(argv, { home: await world.open(), around });
async function write(text: string, book = "log"): Promise<string> {
  const reply = await callTool(
    world.home,
    "write_note",
    { book, text, justification: "x" },
    { holdMs: 5_000 },
  );
  if (!("request" in reply) || reply.request === null) throw new Error(JSON.stringify(reply));
  return reply.request;
}

test("one request's verdicts are listed; of a log those that need a look, and all are counted", async () => {
  const [ok, masked] = [await write("one"), await write(`ghp_${"a1B2".repeat(9)}`)];
  await world.home.store.blobs.eraseSealed(masked as never);
  const one = await run(["log", "replay", ok]);
  expect([one.exitCode, one.stdout]).toEqual([
    0,
    expect.stringMatching(
      new RegExp(`^equal +${ok}  #\\d+  allow\n1 verdict: 1 equal, 0 partial, 0 different\n$`),
    ),
  ]);
  const all = await run(["log", "replay", "--all"]);
  expect(all.exitCode).toBe(0);
  expect(all.stdout).toMatch(new RegExp(`^partial +${masked} `));
  expect(all.stdout).toContain("2 verdicts: 1 equal, 1 partial, 0 different");
  expect(all.stdout).not.toContain(ok);
  expect(JSON.parse((await run(["log", "replay", "--all", "--json"])).stdout)).toMatchObject({
    ok: true,
    verdicts: 2,
    equal: 1,
    partial: 1,
    differs: 0,
    listed: [{ request: masked, outcome: "partial" }],
    unlisted: 0,
  });
});

test("a document that was lost makes it end with 1", async () => {
  const id = await write("one");
  await world.home.store.blobs.eraseSealed(id as never);
  for (const entry of await world.home.requests.history(id as never)) {
    if (entry.kind === "request.planned") await world.home.store.blobs.erase(entry.data.masked_inputs);
  }
  const { exitCode, stdout } = await run(["log", "replay", "--all"]);
  expect([exitCode, stdout]).toEqual([
    1,
    expect.stringContaining("1 verdict: 0 equal, 0 partial, 1 different"),
  ]);
  expect(stdout).toMatch(/^differs /);
});

test("a log without verdicts says so, and one has to say what to replay", async () => {
  expect((await run(["log", "replay", "--all"])).stdout).toBe("no verdict is recorded here\n");
  for (const words of [[], ["req_1", "--all"]]) {
    const { exitCode, stderr } = await run(["log", "replay", ...words]);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining("name a request, or say --all")]);
  }
});
