import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { canonicalJson, type JsonObject } from "../../src/base/canonical-json.ts";
import { passedResult } from "../../src/transport/mcp/fronted.ts";
import { renderReply } from "../../src/transport/mcp/render.ts";
import { listTools } from "../../src/transport/mcp/tool-list.ts";
import type { RequestId } from "../../src/base/id.ts";
import type { Reply } from "../../src/gate/reply.ts";
import {
  fixtureEntry,
  makeUpstreamWorld,
  startHttpFixture,
  type FixtureOptions,
  type UpstreamWorld,
} from "../support/upstream-world.ts";
import { CALLER, callTool, decide, ticketOf, type World } from "../support/world.ts";

// One suite over a fronted server, whichever way it is reached: is what was approved what arrives, once; does nothing
// happen before; and is what cannot be known said to be unknown?

let world: UpstreamWorld;
const after: (() => Promise<void>)[] = [];
afterEach(async () => {
  await world.close();
  for (const stop of after.splice(0)) await stop();
});

const call = (tool: string, args: JsonObject, options = {}): Promise<Reply> =>
  callTool(world.home, `fix__${tool}`, args, { holdMs: 15_000, ...options });
/** Asks, lets ben approve, and waits for what it came to. */
const approved = async (tool: string, args: JsonObject): Promise<Reply> => {
  const held = await call(tool, args, { holdMs: 0 });
  const decided = await decide(world as unknown as World, world.home, ticketOf(held), "ben");
  if (!decided.ok) throw new Error(JSON.stringify(decided));
  return world.home.gate.wait(ticketOf(held), CALLER, {
    holdMs: 20_000,
    signal: new AbortController().signal,
  });
};
const resultOf = (reply: Reply): JsonObject => {
  const passed = passedResult(reply);
  if (passed === null) throw new Error(`expected a passed result, got ${JSON.stringify(reply)}`);
  return passed as unknown as JsonObject;
};
const textOf = (reply: Reply): string =>
  ((resultOf(reply)["content"] as readonly JsonObject[])[0]?.["text"] as string) ?? "";

const WAYS = [
  {
    way: "a command",
    start: (options: FixtureOptions, accept = true) =>
      makeUpstreamWorld((dir) => ({ fix: fixtureEntry(dir, options) }), { accept }),
  },
  {
    way: "a URL",
    async start({ env, entry }: FixtureOptions, accept = true) {
      const dir = mkdtempSync(join(tmpdir(), "countersign-fixture-"));
      const http = await startHttpFixture(dir, env);
      after.push(http.stop, () => Promise.resolve(rmSync(dir, { recursive: true, force: true })));
      const made = await makeUpstreamWorld(
        (own) => {
          rmSync(own, { recursive: true });
          symlinkSync(dir, own);
          return { fix: { url: http.url, environment: "prod", ...entry } };
        },
        { accept },
      );
      return made;
    },
  },
];

describe.each(WAYS)("a server behind $way", ({ start }) => {
  test("lists its tools under the alias, with everything it says of them", async () => {
    world = await start({});
    const tools = listTools(world.home.gate.tools());
    const read = tools.find(({ name }) => name === "fix__read_state") as unknown as JsonObject;
    expect(read).toMatchObject({
      title: "Read state",
      description: "read_state of the fixture",
      "x-unknown": { kept: [1, 2] },
      _meta: { "example.org/ui": "x" },
      annotations: { "x-hint": "kept", readOnlyHint: false, destructiveHint: true },
    });
  });

  test("runs what was approved, once, with the arguments byte for byte, and not before", async () => {
    world = await start({});
    const args = { line: { b: [1.5, "ü", null], a: "line\nbreak", "": 1e-7 } };
    const held = await call("append", args, { holdMs: 0 });
    expect(held.status).toBe("pending");
    expect(world.effects()).toEqual([]);
    await decide(world as unknown as World, world.home, ticketOf(held), "ben");
    const done = await call("append", args);
    expect(textOf(done)).toBe("appended");
    expect(world.effects()).toHaveLength(1);
    expect(canonicalJson(world.effects()[0]?.args)).toBe(canonicalJson(args));
  });

  test("passes a result on as it is, unknown blocks and members included", async () => {
    world = await start({ entry: { vouch: ["rich"] } });
    const result = resultOf(await call("rich", {}));
    expect(result).toMatchObject({
      content: [
        { type: "text", text: "one", annotations: { audience: ["user"], "x-a": 1 } },
        { type: "image", data: "aGk=", mimeType: "image/png" },
        { type: "resource_link", uri: "fixture://state", name: "state" },
        { type: "x-of-the-future", payload: { deep: [true, null] } },
      ],
      structuredContent: { n: 1.5, list: [null, "ü"] },
      "x-unknown": "kept",
      _meta: { "example.org/trace": "t", "dev.countersign/status": "done" },
    });
    expect(result["_meta"]).not.toHaveProperty("progressToken");
    expect(result).not.toHaveProperty("resultType");
  });

  test("an error it answers with is its answer: the outcome is done, and nothing says that nothing happened", async () => {
    world = await start({});
    expect(renderReply(await approved("fail", {}))).toMatchObject({
      isError: true,
      content: [{ type: "text", text: "half of it was done" }],
    });
    const fault = renderReply(await approved("fault", {}));
    expect(fault).toMatchObject({
      isError: true,
      _meta: {
        "dev.countersign/error": { code: -32050, message: "the fixture broke", data: { detail: "kept" } },
      },
    });
    expect(world.effects()).toHaveLength(2);
  });

  test("a definition that changed is not called: not by a new request, not by an approved one", async () => {
    world = await start({ entry: { vouch: ["read_state"] } });
    const held = await call("append", { line: 1 }, { holdMs: 0 });
    expect(resultOf(await call("read_state", {}))).toMatchObject({ structuredContent: { state: "" } });
    world.changeDefinitions(" and it sends a copy to me");
    expect(await call("append", { line: 2 })).toMatchObject({
      status: "refused",
      code: "definition_changed",
      class: "denied_fixable",
      message: expect.stringContaining("countersign upstream accept") as string,
    });
    await decide(world as unknown as World, world.home, ticketOf(held), "ben");
    expect(await world.home.gate.wait(ticketOf(held), CALLER, noWait(20_000))).toMatchObject({
      code: "stale",
    });
    // A read may rest on a list that is a second old, and on no older one.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(await call("read_state", { key: "again" })).toMatchObject({
      status: "failed",
      code: "definition_changed",
    });
    expect(world.effects()).toEqual([]);
    await world.accept();
    const done = await approved("append", { line: 3 });
    expect(textOf(done)).toBe("appended");
  });

  test("a tool that was not accepted is not there, though its server lists it", async () => {
    world = await start({}, false);
    await world.accept(["append"]);
    const names = world.home.gate.tools().map(({ name }) => name);
    expect(names.filter((name) => name.startsWith("fix__"))).toEqual(["fix__append"]);
    expect(await call("read_state", {})).toMatchObject({ code: "unknown_tool" });
    await world.accept();
    expect(await call("read_state", {}, { holdMs: 0 })).toMatchObject({ status: "pending" });
  });

  test("progress reaches whoever is attached", async () => {
    world = await start({ entry: { tools: { progress: { effect: "read" } } } });
    const heard: string[] = [];
    const reply = await world.home.gate.call(
      { tool: "fix__progress", arguments: {}, caller: CALLER },
      { ...noWait(20_000), progress: (message) => heard.push(message) },
    );
    expect(textOf(reply)).toBe("three steps");
    expect(heard).toEqual(expect.arrayContaining(["1/3 step 1", "3/3 step 3"]));
  });

  test("a dry run is shown and hashed, and a world that moved makes the request stale", async () => {
    world = await start({ entry: { tools: { append: { dry_run: { argument: "dryRun", value: true } } } } });
    const held = await call("append", { line: "x" }, { holdMs: 0 });
    expect((await world.home.desk.open(ticketOf(held) as RequestId)).view.preview).toMatchObject({
      fidelity: "estimated",
      documents: [{ kind: "text", body: 'would append "x" after 0' }],
    });
    expect(world.effects()).toEqual([]);
    await approved("append", { line: "other" });
    await decide(world as unknown as World, world.home, ticketOf(held), "ben");
    expect(await world.home.gate.wait(ticketOf(held), CALLER, noWait(20_000))).toMatchObject({
      code: "stale",
    });
    expect(world.effects()).toHaveLength(1);
  });

  test("a look before is shown, and looked at again before it runs", async () => {
    world = await start({
      entry: {
        vouch: ["read_state"],
        tools: { append: { before: { tool: "read_state", args: { key: { from: "line" } } } } },
      },
    });
    const held = await call("append", { line: "x" }, { holdMs: 0 });
    expect((await world.home.desk.open(ticketOf(held) as RequestId)).view.preview).toMatchObject({
      fidelity: "checked",
    });
    const other = await call("append", { line: "y" }, { holdMs: 0 });
    await decide(world as unknown as World, world.home, ticketOf(other), "ben");
    expect(textOf(await world.home.gate.wait(ticketOf(other), CALLER, noWait(20_000)))).toBe("appended");
    await decide(world as unknown as World, world.home, ticketOf(held), "ben");
    expect(await world.home.gate.wait(ticketOf(held), CALLER, noWait(20_000))).toMatchObject({
      code: "stale",
    });
  });

  test("without either, what people see says that the arguments are all there is", async () => {
    world = await start({});
    const held = await call("append", { line: "x" }, { holdMs: 0 });
    expect((await world.home.desk.open(ticketOf(held) as RequestId)).view).toMatchObject({
      effectLine: "CALL 1 tool · prod · fix__append",
      effect: "destructive",
      arguments: '{"line":"x"}',
      preview: { fidelity: "none", warnings: [{ code: "no_preview" }], facts: {}, counts: {} },
    });
  });

  test("a reply that never comes is unknown, and never failed", async () => {
    world = await start({ entry: { tools: { hang: { timeout: "2s" } } } });
    expect(await approved("hang", {})).toMatchObject({ status: "unknown" });
    await expect
      .poll(() => world.effects().map(({ name }) => name), { timeout: 20_000 })
      .toEqual(["hang", "hang_cancelled"]);
    expect(textOf(await approved("append", { line: 1 }))).toBe("appended");
  });

  test("a server that goes away in the middle leaves an unknown outcome", async () => {
    world = await start({});
    expect(await approved("crash", {})).toMatchObject({ status: "unknown" });
    expect(world.effects()).toHaveLength(1);
  });

  test("a reply that is too large is an unknown outcome, and the next call works", async () => {
    world = await start({});
    expect(await approved("big", {})).toMatchObject({ status: "unknown" });
    expect(textOf(await approved("append", { line: 1 }))).toBe("appended");
  });

  test("a request for more input is refused plainly: it may have begun", async () => {
    world = await start({});
    expect(await approved("ask", {})).toMatchObject({
      status: "unknown",
      message: expect.stringContaining("more input") as string,
    });
  });

  test("a read is asked again, and not answered from the record of the one before", async () => {
    world = await start({ entry: { vouch: ["read_state"], environment: "lab" } });
    const first = textOf(await call("read_state", {}));
    await call("append", { line: 1 });
    expect(textOf(await call("read_state", {}))).not.toBe(first);
  });

  test("an argument named justification goes to the tool that has one", async () => {
    world = await start({});
    expect(textOf(await approved("justified", { justification: "theirs" }))).toBe("theirs");
  });
});

const noWait = (holdMs: number) => ({ holdMs, signal: new AbortController().signal });

test("a server behind a URL that lost its sessions, or its token, is greeted again by itself", async () => {
  const dir = mkdtempSync(join(tmpdir(), "countersign-fixture-"));
  after.push(() => Promise.resolve(rmSync(dir, { recursive: true, force: true })));
  const secret = join(dir, "token");
  writeFileSync(secret, "one\n");
  const first = await startHttpFixture(dir, { FIXTURE_TOKEN: "one" });
  after.push(first.stop);
  world = await makeUpstreamWorld((own) => {
    rmSync(own, { recursive: true });
    symlinkSync(dir, own);
    return {
      fix: {
        url: first.url,
        headers: { authorization: { file: secret, prefix: "Bearer " } },
        environment: "lab",
      },
    };
  });
  expect(textOf(await call("append", { line: 1 }))).toBe("appended");
  await first.stop();
  expect(await call("append", { line: 2 })).toMatchObject({ code: "upstream_unavailable" });
  const second = await startHttpFixture(dir, { FIXTURE_TOKEN: "two", FIXTURE_PORT: new URL(first.url).port });
  after.push(second.stop);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const turnedAway = await call("append", { line: 3 });
  expect(turnedAway).toMatchObject({ status: "refused" });
  expect(JSON.stringify(turnedAway)).not.toMatch(/token|Bearer|one/);
  writeFileSync(secret, "two\n");
  await expect
    .poll(async () => (await call("append", { line: Math.random() })).status, {
      timeout: 20_000,
      interval: 500,
    })
    .toBe("done");
});
