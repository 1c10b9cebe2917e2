import { PassThrough } from "node:stream";
import { createInterface } from "node:readline";
import pino from "pino";
import { afterEach, expect, test } from "vitest";
import { tokenSha256 } from "../../../src/base/token.ts";
import { createBearer } from "../../../src/transport/http/bearer.ts";
import { startMcpHttp } from "../../../src/transport/mcp/http.ts";
import { serveStdio } from "../../../src/transport/mcp/stdio.ts";
import { fixtureEntry, makeUpstreamWorld, type UpstreamWorld } from "../../support/upstream-world.ts";
import { CALLER } from "../../support/world.ts";

// Tools change by an adoption and by nothing else: does an agent that is there hear of it, and of nothing that its server
// merely says?

type Message = Readonly<Record<string, unknown>>;

let world: UpstreamWorld;
const after: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of after.splice(0).reverse()) await stop();
  await world.close();
});

const log = pino({ level: "silent" });
const MODERN = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "raw", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};
const LISTEN = {
  jsonrpc: "2.0",
  id: "listen",
  method: "subscriptions/listen",
  params: { notifications: { toolsListChanged: true }, _meta: MODERN },
};
const CHANGED = "notifications/tools/list_changed";

async function start(): Promise<void> {
  world = await makeUpstreamWorld((dir) => ({ fix: fixtureEntry(dir) }), { accept: false });
  await world.accept(["append"]);
}

function overStdio(): { readonly heard: readonly Message[]; send(message: object): void } {
  const [stdin, stdout] = [new PassThrough(), new PassThrough()];
  const heard: Message[] = [];
  createInterface({ input: stdout }).on("line", (line) => heard.push(JSON.parse(line) as Message));
  const served = serveStdio(world.home.gate, CALLER, { holdMs: 0, version: "t", log, stdin, stdout });
  after.push(async () => {
    stdin.end();
    await served;
  });
  return { heard, send: (message) => void stdin.write(`${JSON.stringify(message)}\n`) };
}

const changes = (heard: readonly Message[]): number =>
  heard.filter(({ method }) => method === CHANGED).length;
const until = async (ready: () => boolean): Promise<void> => {
  await expect.poll(ready, { timeout: 60_000 }).toBe(true);
};

/** What does not change the tools, and then what does. */
async function adoptions(heard: readonly Message[]): Promise<void> {
  world.changeDefinitions(" and more");
  await world.register({ fix: fixtureEntry(world.dir), gone: { command: ["/nowhere"], environment: "lab" } });
  await world.accept(["append"]);
  await until(() => changes(heard) > 0);
  // One for the definition that was accepted anew; none for the server's own change, none for the other registration.
  expect(changes(heard)).toBe(1);
}

test("a client of 2025-11-25 over stdio is told once that the tools changed", async () => {
  await start();
  const { heard, send } = overStdio();
  send({
    ...{ jsonrpc: "2.0", id: 1, method: "initialize" },
    params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "raw", version: "1" } },
  });
  await until(() => heard.length > 0);
  expect(heard[0]).toMatchObject({ result: { capabilities: { tools: { listChanged: true } } } });
  send({ jsonrpc: "2.0", method: "notifications/initialized" });
  await adoptions(heard);
});

test("one of 2026-07-28 over stdio, where it listens", async () => {
  await start();
  const { heard, send } = overStdio();
  send(LISTEN);
  await until(() => heard.length > 0);
  expect(heard[0]).toMatchObject({ method: "notifications/subscriptions/acknowledged" });
  await adoptions(heard);
});

test("one of 2026-07-28 over HTTP, where it listens", async () => {
  await start();
  const token = "a-token-of-this-test-that-is-long-enough";
  const mcp = await startMcpHttp({
    gate: world.home.gate,
    listener: { host: "127.0.0.1", port: 0 },
    authenticate: createBearer([
      { name: "raw", tokenSha256: tokenSha256(token), principal: CALLER.principal, agent: CALLER.agent },
    ]),
    holdMs: 0,
    version: "t",
    log,
  });
  after.push(() => mcp.close(0));
  const ending = new AbortController();
  after.push(() => ending.abort());
  const response = await fetch(mcp.url, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": "subscriptions/listen",
    },
    body: JSON.stringify(LISTEN),
    signal: ending.signal,
  });
  expect(response.status).toBe(200);
  const heard: Message[] = [];
  void (async () => {
    let text = "";
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      text += new TextDecoder().decode(chunk);
      heard.splice(0);
      for (const line of text.split("\n")) {
        if (line.startsWith("data: ")) heard.push(JSON.parse(line.slice(6)) as Message);
      }
    }
  })().catch(() => undefined);
  await until(() => heard.length > 0);
  await adoptions(heard);
});
