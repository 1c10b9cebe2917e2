import { afterEach, beforeEach, expect, test } from "vitest";
import type { Surroundings } from "../../src/config/environment.ts";
import type { RequestId } from "../../src/base/id.ts";
import { aroundWorld, cliRun, type CliRun } from "../support/cli-run.ts";
import { callTool, makeWorld, ticketOf, type World } from "../support/world.ts";

// Erasing on the command line, on a real home: asked first, said who and why, and what was erased is said to be.

let world: World;
let around: Surroundings;
let request: RequestId;
beforeEach(async () => {
  world = await makeWorld();
  const reply = await callTool(
    world.home,
    "write_note",
    { book: "log", text: "hello", justification: "asked to" },
    { holdMs: 5_000 },
  );
  if (reply.status !== "done") throw new Error(JSON.stringify(reply));
  request = reply.request;
  around = await aroundWorld(world);
});
afterEach(() => world.close());

const run = async (
  argv: readonly string[],
  more: Partial<Parameters<typeof cliRun>[1]> = {},
): Promise<CliRun> => cliRun(argv, { home: await world.open(), around, ...more });

test("after a yes the documents are gone, and show says when, by whom and why", async () => {
  const erased = await run(["log", "erase", request, "--why", "a customer asked"], { typed: ["y"] });
  expect([erased.exitCode, erased.stdout]).toEqual([
    0,
    expect.stringContaining("erased 5 documents, says ana"),
  ]);
  const shown = await run(["show", request]);
  expect(shown.stdout).toMatch(/its documents were erased on \d{4}-\S+ by ana: a customer asked/);
  expect(JSON.parse((await run(["show", request, "--json"])).stdout)).toMatchObject({
    erasure: { by: "ana", why: "a customer asked" },
  });
  const again = await run(["log", "erase", request, "--why", "x", "--yes"]);
  expect(again.stdout).toMatch(/its documents were erased on .* by ana: a customer asked already/);
  const listed = await run(["log", "list"]);
  expect(listed.stdout.replace(/\s+/g, " ")).toContain(`5 documents of ${request} by ana: a customer asked`);
});

test("after a no, without a terminal, without a reason, or by nobody known, nothing is erased", async () => {
  const words = ["log", "erase", request, "--why", "because"];
  expect((await run(words, { typed: ["n"] })).exitCode).toBe(1);
  expect((await run(words)).stderr).toContain("this needs a terminal, or --yes");
  expect((await run(["log", "erase", request, "--yes"])).stderr).toContain("say why");
  const stranger = await run([...words, "--yes"], { around: { ...around, account: "eve@test2" } });
  expect(stranger.stderr).toContain("--as PERSON");
  expect((await run(["show", request])).stdout).not.toContain("erased");
});

test("an open request is not erased; the error says what comes first", async () => {
  const open = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  const { exitCode, stderr } = await run(["log", "erase", open, "--why", "x", "--yes"]);
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining("ERASURE_REFUSED")]);
  expect(stderr).toContain("hint:");
});

test("a secret in the reason does not get into the log (L3)", async () => {
  const secret = `ghp_${"a1B2".repeat(9)}`;
  await run(["log", "erase", request, "--why", `leaked ${secret}`, "--yes"]);
  expect((await run(["log", "list"])).stdout).not.toContain(secret);
});
