import { PassThrough } from "node:stream";
import { afterEach, expect, test } from "vitest";
import { showOutcome, type Granted } from "../../src/cli/find-request.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { callTool, CALLER, decide, makeWorld, ticketOf, type World } from "../support/world.ts";

// Somebody approves and no gateway is there. Are they told what that means, and is it true?

let world: World;
afterEach(() => world.close());

const granted = async (rules?: string): Promise<Granted> => {
  world = await makeWorld(rules === undefined ? {} : { rules });
  const request = ticketOf(await callTool(world.home, "write_note", { book: "ledger", text: "x" }));
  const { execute } = (await world.home.desk.open(request as never)).question;
  const decided = await decide(world, world.home, request, "ben");
  if (!decided.ok || decided.value.state !== "granted") throw new Error(JSON.stringify(decided));
  return { request: request as never, execute, executeBy: decided.value.executeBy };
};
const plain = (text: string): string => text;
const show = async (given: Granted): Promise<string> => {
  const lines: string[] = [];
  const terminal = {
    out: (line: string) => void lines.push(line),
    paint: { green: plain, red: plain, yellow: plain },
    stdin: new PassThrough(),
  } as unknown as Terminal;
  await showOutcome(world.home, given, terminal, 15_000);
  return lines.join("\n");
};

test("they are told that nothing runs it now, that the approval stands, and how to start a gateway, which then runs it", async () => {
  const given = await granted();
  const said = await show(given);
  expect(said).toMatch(
    /^ {2}not run yet: no gateway serves this home now\. The approval stands: a gateway that is/,
  );
  expect(said).toContain(`start one: countersign start --home ${world.settings.home}`);
  expect(said).not.toContain("no outcome");
  expect(world.notes.runs).toEqual([]);
  await world.home.startSteward();
  await expect
    .poll(async () => (await world.home.requests.find(given.request)).phase, { timeout: 20_000 })
    .toBe("done");
  expect(await show(given)).toMatch(/^ {2}done/);
});

test("of one that waits for its caller they are told that the agent has to be back, and it does run then", async () => {
  const given = await granted(
    "rules: [{ id: r, match: { tool: write_note }, verdict: hold, approve: { by: [sre], execute: when_attached } }]\n",
  );
  expect(await show(given)).toContain("it runs when the agent is back at a gateway by ");
  const reply = await world.home.gate.wait(given.request, CALLER, {
    signal: new AbortController().signal,
    holdMs: 20_000,
  });
  expect(reply.status).toBe("done");
});
