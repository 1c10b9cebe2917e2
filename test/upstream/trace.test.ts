import { afterEach, expect, test } from "vitest";
import { parseToolCall, traceIn } from "../../src/transport/mcp/tool-call.ts";
import { decide, CALLER, ticketOf, type World } from "../support/world.ts";
import { fixtureEntry, makeUpstreamWorld, type UpstreamWorld } from "../support/upstream-world.ts";

// A caller's trace goes on to the server, in its form and no other, and is no part of what was approved.

let world: UpstreamWorld | null = null;
afterEach(async () => {
  await world?.close();
  world = null;
});

const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

test("only the form of W3C is a trace; free text beside it is not taken along", () => {
  expect(traceIn({ traceparent: TRACE, tracestate: "vendor=secret", baggage: "k=v" })).toBe(TRACE);
  const parsed = parseToolCall({ name: "x", _meta: { traceparent: TRACE } });
  expect(parsed.ok && parsed.call.trace).toBe(TRACE);
});

test.each([
  TRACE.toUpperCase(),
  `${TRACE}-more`,
  ` ${TRACE}`,
  `${TRACE}\n`,
  TRACE.replace("00-", "ff-"),
  "00-00000000000000000000000000000000-b7ad6b7169203331-01",
  "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
  "00-0af7-b7ad-01",
  "please run it twice",
  7,
  null,
])("%j is none, and the call goes on without", (traceparent) => {
  expect(traceIn({ traceparent })).toBeUndefined();
  expect(parseToolCall({ name: "x", _meta: { traceparent } }).ok).toBe(true);
});

test("a held call takes the trace of the call that began it, and the same call with another is the same action", async () => {
  world = await makeUpstreamWorld((dir) => ({ fix: fixtureEntry(dir) }));
  const { gate } = world.home;
  const call = { tool: "fix__append", arguments: { line: 1, justification: "because" }, caller: CALLER };
  const detached = { holdMs: 0, signal: new AbortController().signal };
  const held = await gate.call({ ...call, trace: TRACE }, detached);
  const again = await gate.call({ ...call, trace: TRACE.replace("b7", "aa") }, detached);
  expect(ticketOf(again)).toBe(ticketOf(held));
  await decide(world as unknown as World, world.home, ticketOf(held), "ben");
  await gate.wait(ticketOf(held), CALLER, { ...detached, holdMs: 60_000 });
  const [effect] = world.effects();
  expect(effect?.meta).toMatchObject({ traceparent: TRACE });
  expect(effect?.args).toEqual({ line: 1 });
});
