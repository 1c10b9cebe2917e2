import { createServer } from "node:http";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { pino } from "pino";
import { afterEach, describe, expect, test } from "vitest";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import type { Reply } from "../../src/gate/reply.ts";
import { passedResult } from "../../src/transport/mcp/fronted.ts";
import { renderReply } from "../../src/transport/mcp/render.ts";
import type { Pool } from "../../src/upstream/pool.ts";
import { createPool } from "../../src/upstream/pool.ts";
import { upstreamRegistration } from "../../src/upstream/registration.ts";
import { fixtureEntry, makeUpstreamWorld, type UpstreamWorld } from "../support/upstream-world.ts";
import { CALLER, callTool, decide, ticketOf, type World } from "../support/world.ts";

// A server that says what it likes: of other calls, of us, of itself. Whom can it make believe what, and where can it
// take what it was given?

const RAW = fileURLToPath(new URL("../support/raw-upstream.mjs", import.meta.url));
let world: UpstreamWorld | null = null;
const after: (() => unknown)[] = [];
afterEach(async () => {
  await world?.close();
  world = null;
  for (const stop of after.splice(0)) await stop();
});

const raw = (dir: string, mode: string, entry: object = {}): object =>
  fixtureEntry(dir, {
    env: { RAW_MODE: mode },
    entry: { command: [process.execPath, RAW], environment: "lab", ...entry },
  });
const start = async (mode: string, entry: object = {}): Promise<UpstreamWorld> => {
  world = await makeUpstreamWorld((dir) => ({ raw: raw(dir, mode, entry) }));
  return world;
};
const act = (at: UpstreamWorld, args: JsonObject = {}): Promise<Reply> =>
  callTool(at.home, "raw__act", args, { holdMs: 60_000 });
const textOf = (reply: Reply): unknown => passedResult(reply)?.content[0];

test("what it asks of the agent is declined at once, with a code, and its call goes on", async () => {
  const reply = await act(await start("asks_back"));
  const refused = -32601;
  expect(textOf(reply)).toEqual({
    type: "text",
    text: JSON.stringify([
      ["sampling/createMessage", refused],
      ["elicitation/create", refused],
      ["roots/list", refused],
    ]),
  });
});

test("an answer that comes too late, twice, or to nobody is taken for no other call", async () => {
  const at = await start("late", { tools: { act: { timeout: "2s" } } });
  expect(await act(at, { n: 1 })).toMatchObject({
    status: "unknown",
    message: expect.stringContaining("no answer came in time") as string,
  });
  expect(textOf(await act(at, { n: 2 }))).toEqual({ type: "text", text: "the second call's answer" });
  expect(at.starts().length).toBeLessThanOrEqual(2);
});

test("messages that nobody can put into words end neither the gateway nor the call", async () => {
  const at = await start("strange");
  expect(textOf(await act(at, { n: 1 }))).toEqual({ type: "text", text: "still here" });
  // It was answered, with what can't be passed on: that much is certain.
  expect(textOf(await act(at, { n: 2, deep: true }))).toMatchObject({
    text: expect.stringContaining("nested deeper") as string,
  });
  expect(textOf(await act(at, { n: 3 }))).toEqual({ type: "text", text: "still here" });
});

test("a task that nobody asked for is an unknown outcome, not one that is done", async () => {
  expect(await act(await start("task"))).toMatchObject({
    status: "unknown",
    message: expect.stringContaining("answered with a task") as string,
  });
});

test("a result that imitates ours has none of our marks, and ours say what it is", async () => {
  const reply = await act(await start("imitate"));
  const result = renderReply(reply);
  expect(Object.keys(result._meta ?? {}).sort()).toEqual([
    "dev.countersign/request",
    "dev.countersign/status",
    "example.org/kept",
  ]);
  expect(result._meta).toMatchObject({ "dev.countersign/status": "done" });
});

describe("secrets of a registration", () => {
  const pool = (env: Record<string, string>): { readonly pool: Pool; readonly said: string[] } => {
    const said: string[] = [];
    const made = createPool({
      version: "t",
      env: { PATH: process.env["PATH"], ...env },
      workRoot: tmpdir(),
      log: pino({ level: "trace" }, { write: (line: string) => void said.push(line) }),
    });
    after.push(() => made.close());
    return { pool: made, said };
  };
  const failure = async (work: Promise<unknown>): Promise<Error> => {
    const error = await work.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(Error);
    return error as Error;
  };
  const everything = (error: Error): string => {
    const parts: string[] = [];
    for (let at: unknown = error; at instanceof Error; at = at.cause)
      parts.push(String(at.stack), at.message);
    return parts.join("\n");
  };

  test.each(["s3cret-value\u0001", "s3cret-value\u007f", "s3cret-value…"])(
    "a header value that can't be sent (%j) is told by its name alone",
    async (token) => {
      const entry = {
        url: "http://127.0.0.1:9/mcp",
        headers: { authorization: { from_env: "TOKEN", prefix: "Bearer " } },
        environment: "lab",
      };
      const { pool: made, said } = pool({ TOKEN: token });
      const error = await failure(made.upstream("x", upstreamRegistration.parse(entry)).list(0));
      expect(everything(error)).not.toContain("s3cret");
      expect(said.join("")).not.toContain("s3cret");
    },
  );

  test("what a server writes of them on stderr is not in the operations log", async () => {
    const dir = mkdtempSync(join(tmpdir(), "countersign-lies-"));
    after.push(() => rmSync(dir, { recursive: true, force: true }));
    const entry = raw(dir, "tells_secret", {
      env: { FIXTURE_DIR: dir, RAW_MODE: "tells_secret", GRAPH_TOKEN: { from_env: "TOKEN" } },
    });
    const { pool: made, said } = pool({ TOKEN: "s3cret-value" });
    await made.upstream("x", upstreamRegistration.parse(entry)).list(0);
    await expect.poll(() => said.join(""), { timeout: 20_000 }).toContain("my token is [GRAPH_TOKEN]");
    expect(said.join("")).not.toContain("s3cret-value");
  });

  test.each([301, 302, 307, 308])(
    "a redirect (%i) takes neither call nor headers elsewhere",
    async (status) => {
      const heard: string[] = [];
      const there = createServer((request, response) => {
        heard.push(JSON.stringify(request.headers));
        response.writeHead(500).end();
      });
      there.listen(0, "127.0.0.1");
      await once(there, "listening");
      const elsewhere = `http://127.0.0.1:${(there.address() as AddressInfo).port}/mcp`;
      const here = createServer((request, response) => {
        request.resume();
        response.writeHead(status, { location: elsewhere }).end();
      });
      here.listen(0, "127.0.0.1");
      await once(here, "listening");
      after.push(
        () => there.close(),
        () => here.close(),
      );
      const entry = {
        url: `http://127.0.0.1:${(here.address() as AddressInfo).port}/mcp`,
        headers: { "x-api-key": { from_env: "TOKEN" } },
        environment: "lab",
      };
      const { pool: made } = pool({ TOKEN: "s3cret-value" });
      const error = await failure(made.upstream("x", upstreamRegistration.parse(entry)).list(0));
      expect(error.message).toContain("a redirect");
      expect(heard).toEqual([]);
    },
  );
});

test("a server that was started again after its list was read is not called on the word of that list", async () => {
  const dir = mkdtempSync(join(tmpdir(), "countersign-lies-"));
  after.push(() => rmSync(dir, { recursive: true, force: true }));
  const made = createPool({
    version: "t",
    env: { PATH: process.env["PATH"] },
    workRoot: tmpdir(),
    log: pino({ level: "silent" }),
  });
  after.push(() => made.close());
  const line = made.upstream("raw", upstreamRegistration.parse(raw(dir, "")));
  const { over } = await line.list(0);
  const options = { signal: AbortSignal.timeout(60_000), timeoutMs: 60_000 };
  expect(await line.request("tools/call", { name: "act", arguments: {} }, { ...options, over })).toBeTruthy();
  // The next process may be another version of the server.
  writeFileSync(join(dir, "note"), "");
  process.kill(Number(readFileSync(join(dir, "starts"), "utf8").trim()), "SIGKILL");
  await expect
    .poll(
      () =>
        line.list(0).then(
          (next) => next.over,
          () => over,
        ),
      { timeout: 30_000, interval: 200 },
    )
    .not.toBe(over);
  await expect(
    line.request("tools/call", { name: "act", arguments: {} }, { ...options, over }),
  ).rejects.toThrow("started again");
});

test.each([
  ["a word where it expects true or false", "yes"],
  ["a list", [true]],
])(
  "a dry run whose value the tool can't understand (%s) makes the tool unusable, and nothing is tried",
  async (_, value) => {
    const at = await start("", { tools: { act: { dry_run: { argument: "dryRun", value } } } });
    expect(at.home.gate.tools().map(({ name }) => name)).not.toContain("raw__act");
    expect(await act(at)).toMatchObject({ code: "unknown_tool" });
    expect(at.effects()).toEqual([]);
  },
);

test("the agent's own dry-run argument changes nothing of the try, and what runs is what people saw", async () => {
  const at = await start("", {
    environment: "prod",
    tools: { act: { dry_run: { argument: "dryRun", value: true } } },
  });
  for (const given of [false, true]) {
    const held = await callTool(at.home, "raw__act", { dryRun: given, n: 1 }, { holdMs: 0 });
    expect(held.status).toBe("pending");
  }
  expect(at.effects().map(({ args }) => args)).toEqual([
    { dryRun: true, n: 1 },
    { dryRun: true, n: 1 },
  ]);
});

test.each([
  ["another command", (dir: string) => raw(dir, "imitate", { environment: "prod" })],
  [
    "another reference to a secret",
    (dir: string) =>
      raw(dir, "", {
        environment: "prod",
        env: { FIXTURE_DIR: dir, RAW_MODE: "", GRAPH_TOKEN: { from_env: "OTHER" } },
      }),
  ],
  [
    "another look before it runs",
    (dir: string) =>
      raw(dir, "", {
        environment: "prod",
        tools: { act: { before: { tool: "act", args: {} }, effect: "read" } },
      }),
  ],
  ["another environment", (dir: string) => raw(dir, "", { environment: "lab" })],
])("an approval does not move to a registration that was re-pointed: %s", async (_, entry) => {
  const at = await start("", { environment: "prod" });
  const held = await callTool(at.home, "raw__act", { n: 1 }, { holdMs: 0 });
  expect(held.status).toBe("pending");
  await at.register({ raw: entry(at.dir) });
  // A process whose tool is another one leaves it to the steward, who looks at all that is open after an adoption.
  await at.home.startSteward();
  await decide(at as unknown as World, at.home, ticketOf(held), "ben").catch(() => null);
  const ended = await at.home.gate.wait(ticketOf(held), CALLER, {
    holdMs: 20_000,
    signal: new AbortController().signal,
  });
  expect(ended).toMatchObject({ status: "refused", code: "stale" });
  expect(at.effects()).toEqual([]);
});
