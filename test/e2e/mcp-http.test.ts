import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isFault } from "../../src/errors.ts";
import { newToken, tokenSha256 } from "../../src/base/token.ts";
import { createBearer } from "../../src/transport/http/bearer.ts";
import { startMcpHttp, type McpHttp, type McpHttpParts } from "../../src/transport/mcp/http.ts";
import type { McpClient } from "../../src/transport/mcp/identify.ts";
import { MAX_MESSAGE_BYTES } from "../../src/transport/mcp/message.ts";
import { createScriptedGate, type ScriptedGate } from "../support/scripted-gate.ts";
import { messagesOf, rawHttp, rawTcp, type RawAnswer, type RawRequest } from "../support/raw-http.ts";
import { envelope, legacyInitialize, legacyRequest, modernRequest, notification } from "../support/rpc.ts";
import { eventually } from "../support/client-matrix.ts";

const log = pino({ level: "silent" });
const anaToken = newToken("csm");
const benToken = newToken("csm");
const localToken = newToken("csm");
const named = (id: string) => ({ kind: "named", id }) as const;
const clients: McpClient[] = [
  { name: "ana", tokenSha256: tokenSha256(anaToken), principal: named("ana"), agent: "desktop" },
  { name: "ben", tokenSha256: tokenSha256(benToken), principal: named("ben"), agent: "ci" },
  {
    name: "local",
    tokenSha256: tokenSha256(localToken),
    principal: { kind: "os", account: "1000@laptop" },
    agent: null,
    namesItsAgent: true,
  },
];

const start = (gate: ScriptedGate, options: Partial<McpHttpParts> = {}): Promise<McpHttp> =>
  startMcpHttp({
    gate,
    listener: { host: "127.0.0.1", port: 0 },
    authenticate: createBearer(clients),
    holdMs: 100,
    version: "0.0.0",
    log,
    ...options,
  });

let gate: ScriptedGate;
let http: McpHttp;
beforeAll(async () => {
  gate = createScriptedGate();
  http = await start(gate);
});
afterAll(() => http.close(100));

const json = {
  "content-type": "application/json",
  accept: "application/json, text/event-stream",
  authorization: `Bearer ${anaToken}`,
};
const modern = (method: string, name?: string): Record<string, string> => ({
  ...json,
  "mcp-protocol-version": "2026-07-28",
  "mcp-method": method,
  ...(name === undefined ? {} : { "mcp-name": name }),
});
const post = (
  message: unknown,
  headers: RawRequest["headers"] = json,
  port = http.port,
): Promise<RawAnswer> => rawHttp({ port, headers, body: JSON.stringify(message) });
const deploy = (ref: string, meta?: object): Record<string, unknown> => ({
  name: "deploy_service",
  arguments: { service: "web", ref, justification: "because" },
  ...(meta === undefined ? {} : { _meta: meta }),
});
const last = async (answer: RawAnswer): Promise<Record<string, unknown>> =>
  (await messagesOf(answer)).at(-1) as Record<string, unknown>;
const dataOf = async (answer: RawAnswer): Promise<Record<string, unknown>> =>
  ((await last(answer))["result"] as { structuredContent: Record<string, unknown> }).structuredContent;

describe("the front door", () => {
  const list = legacyRequest(1, "tools/list");

  test("answers to its own names only, else 421: a rebinding page still sends its own name (H1)", async () => {
    for (const host of [`127.0.0.1:${http.port}`, `localhost:${http.port}`, `LOCALHOST:${http.port}`]) {
      expect((await post(list, { ...json, host })).status).toBe(200);
    }
    const strangers = [
      "evil.example",
      `evil.example:${http.port}`,
      "127.0.0.1",
      "localhost",
      `127.0.0.1:${http.port}.`,
    ];
    strangers.push(
      `127.0.0.1.evil.example:${http.port}`,
      `127.0.0.1:1`,
      `[::1]:${http.port}`,
      "",
      `0.0.0.0:${http.port}`,
    );
    for (const host of strangers) expect((await post(list, { ...json, host })).status).toBe(421);
  });

  test("answers to a configured name as well", async () => {
    const named = await start(gate, { hosts: ["gate.example.com"] });
    expect((await post(list, { ...json, host: "gate.example.com" }, named.port)).status).toBe(200);
    expect((await post(list, { ...json, host: "gate.example.org" }, named.port)).status).toBe(421);
    const origin = "https://gate.example.com";
    expect((await post(list, { ...json, host: "gate.example.com", origin }, named.port)).status).toBe(200);
    await named.close(0);
  });

  test("refuses pages of other origins, and takes requests without one (H2)", async () => {
    expect((await post(list, { ...json, origin: `http://127.0.0.1:${http.port}` })).status).toBe(200);
    for (const origin of [
      "null",
      "https://evil.example",
      "http://localhost:1",
      `https://localhost:${http.port}`,
      "file://",
    ]) {
      expect((await post(list, { ...json, origin })).status).toBe(403);
    }
    expect((await post(list, { ...json, "sec-fetch-site": "cross-site" })).status).toBe(403);
    expect((await post(list, { ...json, "sec-fetch-site": "same-site" })).status).toBe(403);
    expect((await post(list, { ...json, "sec-fetch-site": "same-origin" })).status).toBe(200);
  });

  test("never answers with a header that lets pages read it", async () => {
    const answer = await rawHttp({
      port: http.port,
      method: "OPTIONS",
      headers: { origin: `http://localhost:${http.port}`, "access-control-request-method": "POST" },
    });
    expect(answer.status).toBe(401);
    for (const name of Object.keys((await post(list)).headers)) expect(name).not.toMatch(/^access-control/);
  });

  test("refuses two Host headers, garbage, and a request line that names another host", async () => {
    const line = (host: string): string => `Host: ${host}\r\n`;
    const own = line(`127.0.0.1:${http.port}`);
    const rest = "Connection: close\r\nContent-Length: 0\r\n\r\n";
    expect(await rawTcp(http.port, `POST /mcp HTTP/1.1\r\n${own}${line("evil.example")}${rest}`)).toMatch(
      /^HTTP\/1.1 400/,
    );
    expect(await rawTcp(http.port, `POST /mcp HTTP/1.1\r\n${rest}`)).toMatch(/^HTTP\/1.1 400/);
    expect(await rawTcp(http.port, "\x16\x03\x01garbage\r\n\r\n")).toMatch(/^HTTP\/1.1 400/);
    const absolute = `POST http://evil.example/mcp HTTP/1.1\r\n${own}${rest}`;
    expect(await rawTcp(http.port, absolute)).toMatch(/^HTTP\/1.1 404/);
    const huge = `POST /mcp HTTP/1.1\r\n${own}X: ${"x".repeat(20_000)}\r\n${rest}`;
    expect(await rawTcp(http.port, huge)).toMatch(/^HTTP\/1.1 (400|431)/);
  });
});

describe("the bearer token", () => {
  const list = legacyRequest(1, "tools/list");

  test("is needed before anything is read, also from loopback", async () => {
    const missing = await post(list, { ...json, authorization: undefined });
    expect(missing.status).toBe(401);
    expect(missing.headers["www-authenticate"]).toBe('Bearer realm="countersign"');
    const wrong = [newToken("csm"), `${anaToken}x`, anaToken.slice(0, -1), anaToken.toUpperCase(), ""];
    for (const token of wrong) {
      const answer = await post(list, { ...json, authorization: `Bearer ${token}` });
      expect(answer.status).toBe(401);
      expect(answer.headers["www-authenticate"]).toContain('error="invalid_token"');
    }
    for (const authorization of [
      anaToken,
      `Basic ${anaToken}`,
      `Bearer ${anaToken} x`,
      `Bearer ${tokenSha256(anaToken)}`,
    ]) {
      expect((await post(list, { ...json, authorization })).status).toBe(401);
    }
    // A body that is refused for its size later on is not even looked at.
    const big = await rawHttp({
      port: http.port,
      headers: { ...json, authorization: "Bearer no", "content-length": "9999999" },
    });
    expect(big.status).toBe(401);
  });

  test("says who calls: a body or a header cannot (C1)", async () => {
    const before = gate.calls.length;
    await post(legacyRequest(1, "tools/call", deploy("t1")), {
      ...json,
      authorization: `Bearer ${benToken}`,
      "countersign-agent": "desktop",
    });
    await post(legacyRequest(1, "tools/call", deploy("t2")), {
      ...json,
      authorization: `Bearer ${localToken}`,
      "countersign-agent": "cursor",
    });
    const [ben, local] = gate.calls.slice(before);
    expect(ben?.caller).toMatchObject({ principal: named("ben"), agent: "ci", transport: "http" });
    expect(local?.caller).toMatchObject({ principal: { kind: "os" }, agent: "cursor" });
  });

  test("does not let one client wait on or withdraw another's request", async () => {
    const answer = await post(legacyRequest(1, "tools/call", deploy("t3")));
    const { ticket } = await dataOf(answer);
    const own = (name: string, of: unknown) =>
      name === "countersign_answer" ? { ticket: of, inquiry: "inq_0", answer: "x" } : { ticket: of };
    for (const name of ["countersign_wait", "countersign_answer", "countersign_withdraw"]) {
      const other = await post(legacyRequest(1, "tools/call", { name, arguments: own(name, ticket) }), {
        ...json,
        authorization: `Bearer ${benToken}`,
      });
      expect(await dataOf(other)).toMatchObject({ status: "refused", code: "unknown_ticket" });
    }
    expect(gate.held()).toContain(ticket);
  });

  test("cannot be shared by two clients: who acts must be told apart", () => {
    const twice = [clients[0], { ...clients[1], tokenSha256: clients[0]?.tokenSha256 }] as McpClient[];
    expect(() => createBearer(twice)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }) as Error);
    expect(() => createBearer([{ tokenSha256: anaToken }])).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID" }) as Error,
    );
  });
});

describe("the body", () => {
  test("has a limit, announced or not, and the refusal can be read", async () => {
    const body = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"x":"${"x".repeat(MAX_MESSAGE_BYTES)}"}}}`;
    expect(
      (await rawHttp({ port: http.port, headers: { ...json, "content-length": String(body.length) }, body }))
        .status,
    ).toBe(413);
    const chunked = await rawHttp({
      port: http.port,
      headers: { ...json, "transfer-encoding": "chunked" },
      body,
    });
    expect(chunked.status).toBe(413);
    const allowed = `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"x":"${"x".repeat(MAX_MESSAGE_BYTES - 100)}"}}}`;
    expect((await rawHttp({ port: http.port, headers: json, body: allowed })).status).toBe(200);
  });

  test("is one JSON-RPC message in UTF-8, or refused", async () => {
    const bodies: [string | Uint8Array, number][] = [
      ["garbage", -32700],
      ["", -32700],
      [Buffer.from('{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":"\xff"}}', "latin1"), -32700],
      ['\ufeff{"jsonrpc":"2.0","id":1,"method":"tools/list"}', -32700],
      [JSON.stringify([legacyRequest(1, "tools/list"), legacyRequest(2, "tools/list")]), -32600],
      ["[]", -32600],
      [`{"a":${"[".repeat(100_000)}`, -32600],
      ["42", -32600],
    ];
    for (const [body, code] of bodies) {
      const answer = await rawHttp({ port: http.port, headers: json, body });
      expect(answer.status).toBe(400);
      expect(answer.json).toMatchObject({ id: null, error: { code } });
    }
  });

  test("has a media type and no other encoding", async () => {
    const list = legacyRequest(1, "tools/list");
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data",
      undefined,
    ]) {
      expect((await post(list, { ...json, "content-type": type })).status).toBe(415);
    }
    expect((await post(list, { ...json, "content-encoding": "gzip" })).status).toBe(415);
    expect((await post(list, { ...json, "content-type": "application/json; charset=utf-8" })).status).toBe(
      200,
    );
  });

  test("is served by POST on one path only", async () => {
    for (const method of ["GET", "DELETE", "PUT", "PATCH"]) {
      const answer = await rawHttp({ port: http.port, method, headers: json });
      expect(answer.status).toBe(405);
      expect(answer.headers.allow).toBe("POST");
    }
    for (const path of ["/", "/mcp/", "/mcp?x=1", "/../mcp", "/api/v1/health", "/%6dcp"]) {
      expect((await rawHttp({ port: http.port, path, headers: json, body: "{}" })).status).toBe(404);
    }
  });
});

describe("clients of 2026-07-28", () => {
  test("get the same answers as over stdio, on a stream that opens at once", async () => {
    const patient = await start(gate, { holdMs: 400 });
    const answer = await post(
      modernRequest(1, "tools/call", deploy("m1")),
      modern("tools/call", "deploy_service"),
      patient.port,
    );
    expect(answer.status).toBe(200);
    expect(answer.headers["content-type"]).toBe("text/event-stream");
    expect(answer.headers["cache-control"]).toBe("no-store");
    expect(answer.firstByteMs).toBeLessThan(300);
    expect(await dataOf(answer)).toMatchObject({ status: "pending" });
    await patient.close(0);
  });

  test("are refused when a header differs from the body", async () => {
    const call = modernRequest(1, "tools/call", deploy("m2"));
    const before = gate.calls.length;
    for (const headers of [
      modern("tools/call", "read_service"),
      modern("tools/list"),
      modern("tools/call"),
      { ...modern("tools/call", "deploy_service"), "mcp-protocol-version": "2025-11-25" },
      json,
    ]) {
      const answer = await post(call, headers);
      expect(answer.status).toBe(400);
      expect(answer.json).toMatchObject({ id: 1, error: { code: -32020 } });
    }
    expect(gate.calls).toHaveLength(before);
  });

  test("are told by 404 of a method that nobody serves, and the stream is not opened for it", async () => {
    const answer = await post(modernRequest(31, "unknown/method"), modern("unknown/method"));
    expect(answer.status).toBe(404);
    expect(answer.json).toMatchObject({ id: 31, error: { code: -32601 } });
  });

  test("are refused when a header that repeats an argument says something else, before the gate hears of it", async () => {
    const repeating: ScriptedGate = {
      ...gate,
      tools: () =>
        gate.tools().map((tool) => ({
          ...tool,
          inputSchema: { properties: { service: { type: "string", "x-mcp-header": "Service" } } },
        })),
    };
    const other = await start(repeating);
    const before = gate.calls.length;
    const ask = (headers: Record<string, string>) =>
      post(
        modernRequest(7, "tools/call", { name: "read_service", arguments: { service: "web" } }),
        { ...modern("tools/call", "read_service"), ...headers },
        other.port,
      );
    try {
      for (const headers of [
        {},
        { "mcp-param-service": "api" },
        { "mcp-param-service": "=?base64?d2Vi!?=" },
      ]) {
        const answer = await ask(headers);
        expect(answer.status).toBe(400);
        expect(answer.json).toMatchObject({ id: 7, error: { code: -32020 } });
      }
      expect(gate.calls).toHaveLength(before);
      expect((await ask({ "mcp-param-service": "web" })).status).toBe(200);
      expect(gate.calls).toHaveLength(before + 1);
    } finally {
      await other.close(100);
    }
  });

  test("detach by closing the stream, and the request stays open", async () => {
    const gate = createScriptedGate();
    const patient = await start(gate, { holdMs: 60_000 });
    const gone = new AbortController();
    const answer = rawHttp({
      port: patient.port,
      headers: modern("tools/call", "deploy_service"),
      body: JSON.stringify(modernRequest(1, "tools/call", deploy("m3"))),
      signal: gone.signal,
    });
    answer.catch(() => undefined);
    const ticket = await eventually(async () => gate.held().at(-1));
    await gate.attached(ticket, 1);
    gone.abort();
    await gate.attached(ticket, 0);
    expect(gate.held()).toContain(ticket);
    await patient.close(0);
  });

  test("get progress on the call's own stream, and comments while nothing happens", async () => {
    const quick = await start(gate, { holdMs: 200, progressEveryMs: 50, keepAliveMs: 40 });
    const meta = { progressToken: 7 };
    const answer = await post(
      modernRequest(1, "tools/call", deploy("m4", meta)),
      modern("tools/call", "deploy_service"),
      quick.port,
    );
    const progress = (await messagesOf(answer)).filter(
      (message) => message["method"] === "notifications/progress",
    );
    const counts = progress.map((message) => (message["params"] as { progress: number }).progress);
    expect(counts.length).toBeGreaterThanOrEqual(3);
    expect(counts).toEqual(counts.map((_, i) => i + 1));
    const silent = await post(
      modernRequest(1, "tools/call", deploy("m5")),
      modern("tools/call", "deploy_service"),
      quick.port,
    );
    expect(silent.text).toMatch(/^: /m);
    await quick.close(0);
  });

  test("are told of a version that is not served", async () => {
    const meta = { ...envelope, "io.modelcontextprotocol/protocolVersion": "2099-01-01" };
    const answer = await post(modernRequest(1, "tools/list", { _meta: meta }), {
      ...modern("tools/list"),
      "mcp-protocol-version": "2099-01-01",
    });
    expect(answer.status).toBe(400);
    expect(JSON.stringify(answer.json)).toContain("2026-07-28");
  });
});

describe("older clients", () => {
  test("get a session id that carries their claim over a restart, and are served without one (P2)", async () => {
    const opened = await post(legacyInitialize(1));
    const session = String(opened.headers["mcp-session-id"]);
    expect(await last(opened)).toMatchObject({ result: { protocolVersion: "2025-11-25" } });
    const restarted = await start(gate);
    const before = gate.calls.length;
    const call = legacyRequest(2, "tools/call", { name: "read_service", arguments: { service: "web" } });
    for (const id of [session, undefined, "cs1.!!.x", "cs1.e30.AAAAAAAAAAAAAAAA", "x".repeat(4_000)]) {
      const answer = await post(call, { ...json, "mcp-session-id": id }, restarted.port);
      expect(await dataOf(answer)).toMatchObject({ status: "done" });
    }
    const claims = gate.calls.slice(before).map((one) => one.caller.client);
    expect(claims).toEqual([{ name: "raw", version: "1.2.3" }, null, null, null, null]);
    await restarted.close(0);
  });

  test("detach by a cancellation in a request of its own, within their session only", async () => {
    const gate = createScriptedGate();
    const patient = await start(gate, { holdMs: 60_000 });
    const session = String((await post(legacyInitialize(1), json, patient.port)).headers["mcp-session-id"]);
    const other = String((await post(legacyInitialize(1), json, patient.port)).headers["mcp-session-id"]);
    const answer = post(
      legacyRequest(5, "tools/call", deploy("o1")),
      { ...json, "mcp-session-id": session },
      patient.port,
    );
    const ticket = await eventually(async () => gate.held().at(-1));
    await gate.attached(ticket, 1);
    const cancel = notification("notifications/cancelled", { requestId: 5 });
    await post(cancel, { ...json, "mcp-session-id": other }, patient.port);
    await post(
      cancel,
      { ...json, authorization: `Bearer ${benToken}`, "mcp-session-id": session },
      patient.port,
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    await gate.attached(ticket, 1);
    expect((await post(cancel, { ...json, "mcp-session-id": session }, patient.port)).status).toBe(202);
    await gate.attached(ticket, 0);
    expect(gate.held()).toContain(ticket);
    expect(await dataOf(await answer)).toMatchObject({ status: "pending", ticket });
    await patient.close(0);
  });

  test("detach by closing the stream", async () => {
    const gate = createScriptedGate();
    const patient = await start(gate, { holdMs: 60_000 });
    const gone = new AbortController();
    const body = JSON.stringify(legacyRequest(1, "tools/call", deploy("o2")));
    rawHttp({ port: patient.port, headers: json, body, signal: gone.signal }).catch(() => undefined);
    const ticket = await eventually(async () => gate.held().at(-1));
    await gate.attached(ticket, 1);
    gone.abort();
    await gate.attached(ticket, 0);
    expect(gate.held()).toContain(ticket);
    await patient.close(0);
  });
});

describe("the listener", () => {
  test("leaves room for everybody else, however many calls one caller holds open", async () => {
    const shared = await start(gate, { holdMs: 60_000 });
    const pending = await dataOf(await post(legacyRequest(1, "tools/call", deploy("room"))));
    const ticket = String(pending["ticket"]);
    const waiting = legacyRequest(2, "tools/call", { name: "countersign_wait", arguments: { ticket } });
    const answers = Array.from({ length: 300 }, () => post(waiting, json, shared.port));
    const refused = await Promise.race(answers);
    expect(refused.status).toBe(429);
    expect(refused.headers["retry-after"]).toBe("1");
    const ben = { ...json, authorization: `Bearer ${benToken}` };
    expect((await post(legacyRequest(3, "tools/list"), ben, shared.port)).status).toBe(200);
    await gate.approve(ticket);
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    expect(new Set(statuses)).toEqual(new Set([200, 429]));
    expect(statuses.filter((status) => status === 200).length).toBeGreaterThanOrEqual(256);
    expect((await post(legacyRequest(4, "tools/list"), json, shared.port)).status).toBe(200);
    await shared.close(0);
  });

  test("gives held calls their tickets when it closes, and takes no more", async () => {
    const closing = await start(gate, { holdMs: 60_000 });
    const both = [
      post(legacyRequest(1, "tools/call", deploy("c1")), json, closing.port),
      post(
        modernRequest(2, "tools/call", deploy("c2")),
        modern("tools/call", "deploy_service"),
        closing.port,
      ),
    ];
    await eventually(async () =>
      gate.calls.filter((call) => ["c1", "c2"].includes((call.arguments as { ref: string }).ref)).length === 2
        ? true
        : undefined,
    );
    const began = performance.now();
    await closing.close(5_000);
    for (const answer of both) expect(await dataOf(await answer)).toMatchObject({ status: "pending" });
    expect(performance.now() - began).toBeLessThan(2_000);
    await expect(post(legacyRequest(1, "tools/list"), json, closing.port)).rejects.toThrow(/ECONNREFUSED/);
  });

  test("says which port is taken and which setting moves it", async () => {
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(0, "127.0.0.1", resolve));
    const { port } = squatter.address() as AddressInfo;
    const failure: unknown = await start(gate, { listener: { host: "127.0.0.1", port } }).catch(
      (error: unknown) => error,
    );
    expect(isFault(failure, "LISTEN_FAILED")).toBe(true);
    expect((failure as Error).message).toContain(String(port));
    expect((failure as { hint: string }).hint).toContain("listeners.mcp");
    await new Promise((resolve) => squatter.close(resolve));
  });

  test("serves many calls at once", async () => {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) =>
        post(
          modernRequest(i, "tools/call", { name: "read_service", arguments: { service: `s${i}` } }),
          modern("tools/call", "read_service"),
        ),
      ),
    );
    for (const [i, answer] of answers.entries()) {
      expect((await last(answer))["id"]).toBe(i);
      expect(await dataOf(answer)).toMatchObject({ status: "done", result: { service: `s${i}` } });
    }
  });
});
