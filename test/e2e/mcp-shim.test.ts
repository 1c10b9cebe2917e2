import { readFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import pino from "pino";
import { afterEach, describe, expect, test } from "vitest";
import { isFault } from "../../src/errors.ts";
import type { PublishedTool } from "../../src/gate/reply.ts";
import { newToken, tokenSha256 } from "../../src/base/token.ts";
import { createBearer } from "../../src/transport/http/bearer.ts";
import { startMcpHttp, type McpHttp } from "../../src/transport/mcp/http.ts";
import { runShim, type ShimOptions } from "../../src/transport/mcp/shim.ts";
import { createRawPipe, type RawPipe } from "../support/raw-stdio.ts";
import { legacyInitialize, legacyRequest, modernRequest, notification } from "../support/rpc.ts";
import { createScriptedGate, type ScriptedGate } from "../support/scripted-gate.ts";
import { LEGACY_SCRIPT, MODERN_SCRIPT, transcribe } from "../support/transcript.ts";

const log = pino({ level: "silent" });
const token = newToken("csm");
const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function gateway(options: { holdMs?: number; port?: number; progressEveryMs?: number } = {}): Promise<{
  gate: ScriptedGate;
  http: McpHttp;
}> {
  const gate = createScriptedGate();
  const http = await startMcpHttp({
    gate,
    listener: { host: "127.0.0.1", port: options.port ?? 0 },
    authenticate: createBearer([
      {
        name: "local",
        tokenSha256: tokenSha256(token),
        principal: { kind: "os", account: "1000@laptop" },
        agent: null,
        namesItsAgent: true,
      },
    ]),
    holdMs: options.holdMs ?? 50,
    progressEveryMs: options.progressEveryMs ?? 10_000,
    version: "0.0.0",
    log,
  });
  closing.push(() => http.close(100));
  return { gate, http };
}

function shim(url: string, options: Partial<ShimOptions> = {}): { pipe: RawPipe; done: Promise<void> } {
  const pipe = createRawPipe();
  const done = runShim({ url, token, log, stdin: pipe.stdin, stdout: pipe.stdout, ...options });
  closing.push(async () => {
    pipe.end();
    await done;
  });
  return { pipe, done };
}

/** A server that records what it is asked and answers as the test says. */
async function recorder(
  answer: (body: string) => { status?: number; headers?: Record<string, string>; text?: string },
): Promise<{ url: string; seen: { headers: IncomingHttpHeaders; body: string }[]; server: Server }> {
  const seen: { headers: IncomingHttpHeaders; body: string }[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += String(chunk)));
    request.on("end", () => {
      seen.push({ headers: request.headers, body });
      const { status = 200, headers = {}, text = "" } = answer(body);
      response.writeHead(status, headers);
      response.end(text);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`, seen, server };
}

const deploy = (ref: string, meta?: object): object => ({
  name: "deploy_service",
  arguments: { service: "web", ref, justification: "because" },
  ...(meta === undefined ? {} : { _meta: meta }),
});
const dataOf = (answer: Record<string, unknown>): Record<string, unknown> =>
  (answer["result"] as { structuredContent: Record<string, unknown> }).structuredContent;
const withHeader = (schema: PublishedTool["inputSchema"]): PublishedTool["inputSchema"] => {
  const properties = schema["properties"] as Record<string, object>;
  const service = { ...properties["service"], "x-mcp-header": "Service" };
  return { ...schema, properties: { ...properties, service } } as PublishedTool["inputSchema"];
};
const held = async (gate: ScriptedGate): Promise<string> => {
  while (gate.held().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const ticket = gate.held()[0] ?? "";
  await gate.attached(ticket, 1);
  return ticket;
};

describe("a client behind the shim", () => {
  test("of 2025-11-25 reads what a client of the gateway's own stdio reads, but of changed lists it is not told", async () => {
    const { gate, http } = await gateway();
    const { pipe } = shim(http.url);
    const text = await transcribe(LEGACY_SCRIPT, gate, pipe);
    const golden = await readFile(
      new URL("../golden/mcp/transcript-2025-11-25.txt", import.meta.url),
      "utf8",
    );
    // Between shim and gateway there is no stream of its own for a client of that revision.
    expect(text).toBe(golden.replace('"tools":{"listChanged":true}', '"tools":{}'));
  });

  test("of 2026-07-28 reads exactly what a client of the gateway's own stdio reads", async () => {
    const { gate, http } = await gateway();
    const { pipe } = shim(http.url);
    const text = await transcribe(MODERN_SCRIPT, gate, pipe);
    await expect(text).toMatchFileSnapshot("../golden/mcp/transcript-2026-07-28.txt");
  });

  test("is known by its token, its flag and what it claims of itself", async () => {
    const { gate, http } = await gateway();
    const { pipe } = shim(http.url, { agent: "cursor" });
    pipe.send(legacyInitialize(1));
    await pipe.receive();
    pipe.send(legacyRequest(2, "tools/call", { name: "read_service", arguments: { service: "web" } }));
    await pipe.receive();
    expect(gate.calls[0]?.caller).toEqual({
      principal: { kind: "os", account: "1000@laptop" },
      agent: "cursor",
      transport: "http",
      client: { name: "raw", version: "1.2.3" },
    });
  });

  test("hears progress as it comes", async () => {
    const { gate, http } = await gateway({ holdMs: 60_000, progressEveryMs: 40 });
    const { pipe } = shim(http.url);
    pipe.send(modernRequest(1, "tools/call", deploy("p", { progressToken: "t" }) as Record<string, unknown>));
    for (const progress of [1, 2, 3]) {
      expect(await pipe.receive()).toMatchObject({ method: "notifications/progress", params: { progress } });
    }
    await gate.approve(await held(gate));
    let answer = await pipe.receive();
    while (answer["method"] !== undefined) answer = await pipe.receive();
    expect(dataOf(answer)["status"]).toBe("done");
  });

  test.each(["legacy", "modern"] as const)(
    "detaches by cancelling, and nothing else happens (%s)",
    async (era) => {
      const { gate, http } = await gateway({ holdMs: 60_000 });
      const { pipe } = shim(http.url);
      if (era === "legacy") {
        pipe.send(legacyInitialize(1));
        await pipe.receive();
        pipe.send(notification("notifications/initialized"));
      }
      const request = era === "legacy" ? legacyRequest : modernRequest;
      pipe.send(request(7, "tools/call", deploy("c") as Record<string, unknown>));
      const ticket = await held(gate);
      pipe.send(notification("notifications/cancelled", { requestId: 7 }));
      await gate.attached(ticket, 0);
      expect(await pipe.isSilent(50)).toBe(true);
      expect(gate.held()).toEqual([ticket]);
    },
  );

  test("detaches by closing its end", async () => {
    const { gate, http } = await gateway({ holdMs: 60_000 });
    const { pipe, done } = shim(http.url);
    pipe.send(modernRequest(1, "tools/call", deploy("e") as Record<string, unknown>));
    const ticket = await held(gate);
    pipe.end();
    await done;
    await gate.attached(ticket, 0);
    expect(gate.held()).toEqual([ticket]);
  });

  test("can have many calls under way at once", async () => {
    const { http } = await gateway();
    const { pipe } = shim(http.url);
    for (let id = 0; id < 50; id += 1) {
      pipe.send(modernRequest(id, "tools/call", { name: "read_service", arguments: { service: `s${id}` } }));
    }
    const seen = new Set<unknown>();
    for (let id = 0; id < 50; id += 1) {
      const answer = await pipe.receive();
      expect(dataOf(answer)).toMatchObject({ result: { service: `s${String(answer["id"])}` } });
      seen.add(answer["id"]);
    }
    expect(seen.size).toBe(50);
  });

  test("calls a tool whose schema wants arguments repeated in headers, which no stdio client sends", async () => {
    const { gate, http } = await gateway();
    const tools = gate.tools().map((tool) => ({ ...tool, inputSchema: withHeader(tool.inputSchema) }));
    gate.tools = () => tools;
    const { pipe } = shim(http.url);
    for (const [id, service] of [
      [1, "wëb"],
      [2, "api"],
    ] as const) {
      pipe.send(modernRequest(id, "tools/call", { name: "read_service", arguments: { service } }));
      const answer = await pipe.receive();
      expect(answer["id"]).toBe(id);
      expect(dataOf(answer)).toMatchObject({ status: "done", result: { service } });
    }
    expect(gate.calls).toHaveLength(2);
  });

  test("is answered for what is no message, without a word to the gateway", async () => {
    const { url, seen } = await recorder(() => ({ status: 202 }));
    const { pipe } = shim(url);
    for (const [input, code] of [
      ["nonsense\n", -32700],
      ["[]\n", -32600],
      [Buffer.from([0xff, 0x0a]), -32700],
      [`{"x":"${"x".repeat(5 * 1024 * 1024)}"}\n`, -32600],
    ] as const) {
      pipe.sendBytes(input);
      expect(await pipe.receive()).toMatchObject({ id: null, error: { code } });
    }
    expect(seen).toHaveLength(0);
  });
});

describe("on the way to the gateway", () => {
  test("a body passes byte for byte, and the headers mirror it", async () => {
    const { url, seen } = await recorder(() => ({ status: 202 }));
    const { pipe } = shim(url);
    const body = JSON.stringify(
      modernRequest(1, "tools/call", { name: "déploy ", arguments: { n: 1 } }),
    ).replace('{"n":1}', '{ "n" : 1.0e0, "__proto__": {}, "n": 2 }');
    pipe.sendBytes(`${body}\r\n`);
    await pipe.receive();
    expect(seen[0]?.body).toBe(body);
    expect(seen[0]?.headers).toMatchObject({
      authorization: `Bearer ${token}`,
      accept: "application/json, text/event-stream",
      "content-type": "application/json",
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": "tools/call",
      "mcp-name": `=?base64?${Buffer.from("déploy ").toString("base64")}?=`,
    });
  });

  test("an older client's handshake decides version and session of what follows", async () => {
    const result = JSON.stringify({ jsonrpc: "2.0", id: 1, result: { protocolVersion: "2025-06-18" } });
    const { url, seen } = await recorder((body) =>
      body.includes("initialize")
        ? { headers: { "content-type": "application/json", "mcp-session-id": "s-1" }, text: result }
        : { status: 202 },
    );
    const { pipe } = shim(url);
    pipe.send(legacyInitialize(1));
    pipe.send(legacyRequest(2, "tools/list"));
    await pipe.receive();
    await pipe.receive();
    expect(seen[0]?.headers["mcp-session-id"]).toBeUndefined();
    expect(seen[1]?.headers).toMatchObject({ "mcp-protocol-version": "2025-06-18", "mcp-session-id": "s-1" });
  });

  test("a refusal without an id is given the id of what was refused", async () => {
    const { http } = await gateway();
    const { pipe } = shim(http.url, { token: newToken("csm") });
    pipe.send(legacyInitialize(5));
    expect(await pipe.receive()).toMatchObject({
      id: 5,
      error: { message: expect.stringContaining("bearer token") },
    });
  });

  test("an answer passes whole, however large and deep it is: what it tells has happened", async () => {
    const deep = `${"[".repeat(200)}${"]".repeat(200)}`;
    for (const result of [`{"x":"${"x".repeat(5 * 1024 * 1024)}"}`, deep]) {
      const text = `{"jsonrpc":"2.0","id":3,"result":${result}}`;
      for (const answer of [
        { headers: { "content-type": "application/json" }, text },
        { headers: { "content-type": "text/event-stream" }, text: `data: ${text}\n\n` },
      ]) {
        const { url } = await recorder(() => answer);
        const stdout = new PassThrough();
        const { pipe } = shim(url, { stdout });
        pipe.send(legacyRequest(3, "tools/call", deploy("v1")));
        let passed = "";
        while (!passed.endsWith("\n")) passed += String((await once(stdout, "data"))[0]);
        passed = passed.trimEnd();
        expect([passed.length, passed === text]).toEqual([text.length, true]);
      }
    }
  });

  test("an answer that is no answer becomes an error, not silence", async () => {
    for (const answer of [
      { status: 200, headers: { "content-type": "text/html" }, text: "<html>" },
      { status: 502, text: "bad gateway" },
      { status: 200, headers: { "content-type": "text/event-stream" }, text: ": only a comment\n\n" },
      { status: 200, headers: { "content-type": "application/json" }, text: "not json" },
    ]) {
      const { url } = await recorder(() => answer);
      const { pipe } = shim(url);
      pipe.send(legacyRequest(3, "tools/list"));
      expect(await pipe.receive()).toMatchObject({ id: 3, error: { code: -32603 } });
    }
  });

  test("the token goes to the gateway's own address and nowhere else (W1)", async () => {
    const elsewhere = await recorder(() => ({ status: 202 }));
    const { url } = await recorder(() => ({ status: 307, headers: { location: elsewhere.url } }));
    const { pipe } = shim(url);
    pipe.send(legacyRequest(1, "tools/list"));
    expect(await pipe.receive()).toMatchObject({ id: 1, error: { code: -32603 } });
    expect(elsewhere.seen).toHaveLength(0);
    for (const bad of [
      "http://gate.example.com/mcp",
      "http://10.0.0.1:7331/mcp",
      "ftp://localhost/",
      "no url",
      "http://localhost.evil.example/",
    ]) {
      const failure: unknown = await runShim({ url: bad, token, log }).catch((error: unknown) => error);
      expect(isFault(failure, "CONFIG_INVALID")).toBe(true);
    }
  });
});

describe("a gateway that goes away", () => {
  test("while a call is held gives its ticket; killed, an error that says the call is not lost", async () => {
    const { gate, http } = await gateway({ holdMs: 60_000 });
    const { pipe } = shim(http.url);
    pipe.send(modernRequest(1, "tools/call", deploy("k") as Record<string, unknown>));
    const ticket = await held(gate);
    await http.close(1_000);
    expect(dataOf(await pipe.receive())).toMatchObject({ status: "pending", ticket });

    const { url, server } = await recorder(() => ({}));
    server.removeAllListeners("request");
    server.on("request", (request) => request.on("end", () => request.socket.destroy()).resume());
    const second = shim(url);
    second.pipe.send(modernRequest(2, "tools/list"));
    const lost = await second.pipe.receive();
    expect(lost).toMatchObject({ id: 2, error: { message: expect.stringContaining("recognised") } });
  });

  test("and comes back within seconds is found again", async () => {
    const first = await gateway();
    const { pipe } = shim(first.http.url);
    pipe.send(legacyInitialize(1));
    await pipe.receive();
    await first.http.close(0);
    pipe.send(legacyRequest(2, "tools/list"));
    await new Promise((resolve) => setTimeout(resolve, 400));
    await gateway({ port: first.http.port });
    expect(await pipe.receive(8_000)).toMatchObject({ id: 2, result: { tools: expect.any(Array) } });
  });

  test("for good is an error with the next step", async () => {
    const first = await gateway();
    await first.http.close(0);
    const { pipe } = shim(first.http.url);
    pipe.send(legacyInitialize(1));
    expect(await pipe.receive(10_000)).toMatchObject({
      id: 1,
      error: { message: expect.stringContaining("countersign start") },
    });
  });
});
