import { afterEach, describe, expect, test } from "vitest";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import type { Reply } from "../../src/gate/reply.ts";
import { passedResult } from "../../src/transport/mcp/fronted.ts";
import { startSessionServer, type SessionServer } from "../support/session-server.ts";
import { makeUpstreamWorld, type UpstreamWorld } from "../support/upstream-world.ts";
import { CALLER } from "../support/world.ts";

// A server of 2025-11-25 with sessions, as its own SDK makes one. Does a session that is lost cost a call, run one twice,
// or leave the gateway outside for good?

let server: SessionServer;
let world: UpstreamWorld;
afterEach(async () => {
  await world.close();
  await server.close();
});
const open = async (options: Parameters<typeof startSessionServer>[0] = {}): Promise<void> => {
  server = await startSessionServer(options);
  world = await makeUpstreamWorld(() => ({
    s: {
      url: server.url,
      environment: "lab",
      vouch: true,
      resources: true,
      tools: { hang: { timeout: "1s" } },
    },
  }));
};
const call = (tool: string, args: JsonObject = {}, progress?: (words: string) => void): Promise<Reply> =>
  world.home.gate.call(
    { tool: `s__${tool}`, arguments: args, caller: CALLER },
    {
      signal: new AbortController().signal,
      holdMs: 60_000,
      ...(progress === undefined ? {} : { progress }),
    },
  );
const textOf = (reply: Reply): unknown => {
  if (reply.status !== "done") throw new Error(JSON.stringify(reply));
  return passedResult(reply)?.content[0];
};
const said = (text: string): object => ({ type: "text", text });

describe.each([{ json: false }, { json: true }])("a server with sessions: %j", (options) => {
  test("is greeted once, and called over its session", async () => {
    await open(options);
    expect(textOf(await call("append", { line: "a" }))).toEqual(said("line 1"));
    expect(textOf(await call("look"))).toEqual(said("a"));
    expect(server.lines).toEqual(["a"]);
    // One for accepting its tools, which is over; one to call it.
    expect(server.sessions().length).toBe(1);
    expect(server.seen.filter((line) => line.includes(" initialize ")).length).toBe(2);
    expect(server.seen).toContain("DELETE - 200");
  });

  test.each([404, 400] as const)(
    "that forgot the session (HTTP %i) is greeted again, and the call runs once",
    async (status) => {
      await open(options);
      await call("append", { line: "a" });
      server.forget(status);
      expect(textOf(await call("append", { line: "b" }))).toEqual(said("line 2"));
      server.forget(status);
      await new Promise((resolve) => setTimeout(resolve, 1_100));
      expect(textOf(await call("look"))).toEqual(said("a,b"));
      expect(server.lines).toEqual(["a", "b"]);
    },
  );

  test.each([404, 400] as const)(
    "that forgot the session (HTTP %i) is read again, though a resource rests on no list",
    async (status) => {
      await open(options);
      await call("append", { line: "a" });
      server.forget(status);
      const reply = await call("resources/read", { uri: "lines://all" });
      expect(JSON.stringify(reply)).toContain('"text":"a"');
    },
  );

  test("that forgets it between a list and a read of the same second keeps nobody out", async () => {
    await open(options);
    await call("look");
    server.forget(404);
    const first = await call("look", { line: "1" });
    expect(["done", "failed"]).toContain(first.status);
    expect(textOf(await call("look", { line: "2" }))).toEqual(said(""));
  });
});

test("a call under way has its answer though the connection was given up for another one meanwhile", async () => {
  await open();
  const waiting = call("wait");
  await expect.poll(() => server.lines, { timeout: 10_000 }).toEqual(["waits"]);
  server.refuseNextList();
  expect(textOf(await call("append", { line: "b" }))).toEqual(said("line 2"));
  expect(server.sessions().length).toBe(2);
  server.release();
  expect(textOf(await waiting)).toEqual(said("waited"));
  await expect.poll(() => server.sessions().length, { timeout: 10_000 }).toBe(1);
});

test("what its tool says of its progress arrives, in front of the answer", async () => {
  await open();
  const heard: string[] = [];
  expect(textOf(await call("steps", {}, (words) => heard.push(words)))).toEqual(said("two steps"));
  expect(heard.filter((words) => words.includes("step"))).toEqual(["1/2 step 1", "2/2 step 2"]);
});

test("a call whose time is up is taken back from it, and its outcome is unknown", async () => {
  await open();
  expect(await call("hang")).toMatchObject({ status: "unknown" });
  await expect.poll(() => server.cancelled, { timeout: 10_000 }).toEqual(["hang"]);
});

test("a definition that changes while it runs is heard of over its stream, and refused", async () => {
  await open();
  await call("look");
  await server.changeTools(" and more");
  await expect
    .poll(async () => await call("look", { line: String(Math.random()) }), { timeout: 10_000 })
    .toMatchObject({ code: "definition_changed" });
});

test("a response stream that ends early is taken up again, and the call runs once", async () => {
  await open({ resumable: true });
  server.cutNextStream();
  expect(textOf(await call("append", { line: "a" }))).toEqual(said("line 1"));
  expect(server.lines).toEqual(["a"]);
});
