import pino from "pino";
import { afterEach, expect, test } from "vitest";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { systemClock } from "../../src/base/clock.ts";
import { newToken, tokenSha256 } from "../../src/base/token.ts";
import { ROUND_ARGUMENT, type Round } from "../../src/request/round.ts";
import { startApi } from "../../src/transport/http/api.ts";
import { createBearer } from "../../src/transport/http/bearer.ts";
import { passedResult } from "../../src/transport/mcp/fronted.ts";
import { createApiClient, createSessionTable } from "../support/api-client.ts";
import { fixtureEntry, makeUpstreamWorld, type UpstreamWorld } from "../support/upstream-world.ts";
import { CALLER } from "../support/world.ts";

// A fronted server's state comes back to it only out of the seal in which a client got it (N1). Can anybody hand one in
// that nobody sealed, over whatever they call?

let world: UpstreamWorld;
const after: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of after.splice(0)) await stop();
  await world.close();
});
const open = async (): Promise<void> => {
  world = await makeUpstreamWorld((dir) => ({
    fix: fixtureEntry(dir, { entry: { environment: "lab", tools: { ask: { effect: "read" } } } }),
  }));
};
const written = { [ROUND_ARGUMENT]: { answers: {}, state: "made up" } };
const call = (tool: string, args: JsonObject, round?: Round) =>
  world.home.gate.call(
    { tool, arguments: args, caller: CALLER, ...(round === undefined ? {} : { round }) },
    { signal: new AbortController().signal, holdMs: 60_000 },
  );

test("arguments that a caller wrote a round into are no call, of a read or of anything else", async () => {
  await open();
  for (const [tool, args] of [
    ["fix__ask", written],
    ["fix__append", { line: "x", ...written }],
    ["fix__justified", written],
  ] as const) {
    expect(await call(tool, args), tool).toMatchObject({
      status: "refused",
      code: "invalid_arguments",
      message: expect.stringContaining("/dev.countersign~1round") as string,
    });
  }
  expect(world.effects()).toEqual([]);
  expect(world.home.requests.list(10).map(({ phase }) => phase)).toEqual(["refused", "refused", "refused"]);
});

test("a round that a transport took out of its seal reaches the server apart from its arguments, and the log has it (D3)", async () => {
  await open();
  const reply = await call("fix__ask", {}, { answers: { q: { action: "decline" } }, state: "s" });
  expect(passedResult(reply)?.content).toEqual([
    { type: "text", text: JSON.stringify({ answers: { q: { action: "decline" } }, state: "s" }) },
  ]);
  // What is no object stays the bad call that it was.
  expect(await call("fix__ask", [] as never, { answers: {}, state: null })).toMatchObject({
    code: "invalid_arguments",
  });
});

test("over the HTTP API a written round is a bad call, and the server is not asked", async () => {
  await open();
  const token = newToken("csa");
  const api = await startApi({
    home: world.home,
    listener: { host: "localhost", port: 0 },
    tokens: createBearer([
      {
        ...{ kind: "token" as const, name: "job", tokenSha256: tokenSha256(token), expiresAt: null },
        acts: { principal: "ana", agent: "claude" },
        scopes: new Set(["requests:write" as const]),
      },
    ]),
    sessions: createSessionTable(() => Date.now()),
    version: "0.0.0",
    clock: systemClock,
    log: pino({ level: "silent" }),
  });
  after.push(() => api.close(0));
  const job = createApiClient(
    () => api.port,
    () => ({ authorization: `Bearer ${token}` }),
  );
  const answer = await job.post("/requests?wait=20", { tool: "fix__ask", arguments: written });
  expect(answer.status).toBe(422);
  expect(answer.text).toContain("/dev.countersign~1round");
  expect(answer.text).not.toContain("made up");
  const asked = await job.post("/requests?wait=20", { tool: "fix__ask", arguments: {} });
  expect(asked.json).toMatchObject({ status: "done", output: { result: { resultType: "input_required" } } });
});
