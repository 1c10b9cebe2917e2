import { createMcpHandler } from "@modelcontextprotocol/server";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gate, Reply } from "../../../src/gate/reply.ts";
import { answerWeb, toWebRequest } from "../../../src/transport/http/answer.ts";
import { answerDirectly, directCallOf } from "../../../src/transport/mcp/direct-call.ts";
import { createCallsUnderWay } from "../../../src/transport/mcp/calls-under-way.ts";
import {
  createMcpServer,
  serverInfo,
  type McpConnection,
  type McpParts,
} from "../../../src/transport/mcp/server.ts";
import { answerCall } from "../../../src/transport/mcp/answer-call.ts";
import { messagesOf, rawHttp, type RawAnswer } from "../../support/raw-http.ts";
import { envelope, legacyRequest, modernRequest } from "../../support/rpc.ts";
import { createScriptedGate } from "../../support/scripted-gate.ts";

// The way past the SDK's web streams, against the SDK's own: the same messages, whatever the gate says and however the
// request is wrong.

const scripted = createScriptedGate();
let next: Reply | Error | null = null;
let aborted: (() => void) | null = null;
const gate: Gate = {
  ...scripted,
  tools: () =>
    scripted.tools().map((tool) =>
      tool.name === "read_service"
        ? {
            ...tool,
            upstream: { alias: "x", definition: { name: tool.name, inputSchema: tool.inputSchema } },
          }
        : tool,
    ),
  call: (call, attachment) => {
    attachment.signal.addEventListener("abort", () => aborted?.());
    if (JSON.stringify(call.arguments).includes("slow")) attachment.progress?.("looked at");
    const given = next;
    if (given === null) return scripted.call(call, attachment);
    return given instanceof Error ? Promise.reject(given) : Promise.resolve(given);
  },
};
const parts: McpParts = {
  ...{ gate, version: "0.0.0", holdMs: 50, log: pino({ level: "silent" }) },
  underWay: createCallsUnderWay(),
};
const connection: Omit<McpConnection, "era"> = {
  caller: { principal: { kind: "named", id: "ana" }, agent: "desktop", transport: "http", client: null },
  method: "tools/call",
};
const handler = createMcpHandler(({ era }) => createMcpServer(parts, { ...connection, era }), {
  responseMode: "sse",
});

/** "direct" takes the way past it where it is open, "sdk" never. */
const serve = async (way: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const message = JSON.parse(bytes.toString()) as Record<string, unknown>;
  const direct = way === "/direct" ? directCallOf(request, message) : null;
  taken.push(direct?.era ?? "sdk");
  if (direct !== null) {
    const { era } = direct;
    return answerDirectly(direct, response, {
      answer: (asked, ctx, takesTime) => answerCall(parts, { ...connection, era, takesTime }, asked, ctx),
      self: serverInfo(parts.version),
    });
  }
  const web = await handler.fetch(toWebRequest(request, response, "localhost", bytes), {
    parsedBody: message,
  });
  await answerWeb(response, web);
};
const taken: string[] = [];
const server = createServer((request, response) => {
  serve(request.url ?? "", request, response).catch(() => response.destroy());
});
let port = 0;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => void server.close());

const json = { "content-type": "application/json", accept: "application/json, text/event-stream" };
const headersOf = (era: "legacy" | "modern", name: string): Record<string, string> =>
  era === "legacy"
    ? { ...json, "mcp-protocol-version": "2025-11-25" }
    : { ...json, "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": name };
const send = (path: string, message: unknown, headers: Record<string, string>): Promise<RawAnswer> =>
  rawHttp({ port, path, headers, body: JSON.stringify(message) });

const passed = (answer: object): Reply =>
  ({
    status: "done",
    request: "req_01",
    summary: "read",
    output: { typ: "countersign.upstream", v: 1, ...answer },
  }) as unknown as Reply;
const read = { name: "read_service", arguments: { service: "web" } };
const REPLIES: readonly (readonly [string, Reply | Error | null, object])[] = [
  ["a result", null, read],
  ["a tool that does not exist", null, { name: "nothing", arguments: {} }],
  ["arguments that don't fit", null, { name: "read_service", arguments: { service: 7 } }],
  ["a fault of the gateway", new Error("the log broke"), read],
  ["params without a name", null, { arguments: {} }],
  ["a call id that is none", null, { ...read, _meta: { "dev.countersign/callId": "" } }],
  ["a wait for no ticket", null, { name: "countersign_wait", arguments: {} }],
  ["a fronted result", passed({ result: { content: [{ type: "strange", x: 1 }], more: { y: [1] } } }), read],
  ["a fronted error", passed({ error: { code: -32_005, message: "no", data: { why: 1 } } }), read],
  [
    "a capability that the client lacks",
    passed({ error: { code: -32_021, message: "no", data: { requiredCapabilities: { sampling: {} } } } }),
    read,
  ],
  ["progress", null, { ...read, arguments: { service: "slow" }, _meta: { progressToken: "p" } }],
  ["a state that is not ours", null, { ...read, requestState: "made up" }],
  [
    "answers to no question",
    null,
    { ...read, inputResponses: { a: { action: "accept" }, b: 5, c: { method: "x" } } },
  ],
  [
    "capabilities that are none",
    null,
    { ...read, _meta: { "io.modelcontextprotocol/clientCapabilities": 5 } },
  ],
  ["a client without a name", null, { ...read, _meta: { "io.modelcontextprotocol/clientInfo": {} } }],
  ["a level of logging", null, { ...read, _meta: { "io.modelcontextprotocol/logLevel": "debug" } }],
  ["a level that is none", null, { ...read, _meta: { "io.modelcontextprotocol/logLevel": "loud" } }],
  ["a result with words beside it", passed({ result: { content: [], _meta: { x: { y: 1 } } } }), read],
  [
    "a result that says who it is of",
    passed({ result: { content: [], _meta: { "io.modelcontextprotocol/serverInfo": { name: "other" } } } }),
    read,
  ],
  ["a result whose words are none", passed({ result: { content: [], _meta: 5 } }), read],
];

describe.each(["legacy", "modern"] as const)("a %s call", (era) => {
  test.each(REPLIES)("gets the SDK's messages: %s", async (_, reply, params) => {
    next = reply;
    const given = params as { _meta?: object; name?: string };
    const message =
      era === "legacy"
        ? legacyRequest(7, "tools/call", given)
        : modernRequest(7, "tools/call", { ...given, _meta: { ...envelope, ...given._meta } });
    const headers = headersOf(era, given.name ?? "");
    const sdk = await send("/sdk", message, headers);
    const direct = await send("/direct", message, headers);
    next = null;
    const clean = async (answer: RawAnswer): Promise<unknown> =>
      JSON.parse(JSON.stringify(await messagesOf(answer)).replaceAll(/req_\w+/g, "req"));
    expect(await clean(direct)).toEqual(await clean(sdk));
    // One check of the protocol that a stream which is open already can't keep.
    const isMissing = era === "modern" && direct.text.includes("-32021");
    expect(direct.status).toBe(isMissing ? 400 : sdk.status);
  });
});

test.each([
  ["a name in another header", { "mcp-name": "deploy_service" }],
  ["a method in another header", { "mcp-method": "tools/list" }],
  ["a version in another header", { "mcp-protocol-version": "2025-11-25" }],
  ["an empty name", { "mcp-name": "" }],
  ["a wrapped name", { "mcp-name": `=?base64?${Buffer.from("read_service").toString("base64")}?=` }],
  ["a client that takes no JSON", { accept: "text/event-stream" }],
])("%s is the SDK's to judge (W1)", async (_, headers) => {
  const message = modernRequest(8, "tools/call", { ...read, _meta: envelope });
  const all = { ...headersOf("modern", "read_service"), ...(headers as Record<string, string>) };
  const direct = await send("/direct", message, all);
  expect(taken.at(-1)).toBe("sdk");
  expect(direct.status).toBe((await send("/sdk", message, all)).status);
});

test.each([
  [
    "an older version that nobody serves",
    legacyRequest(9, "tools/call", read),
    { "mcp-protocol-version": "2020-01-01" },
  ],
  ["a client that takes no stream", legacyRequest(9, "tools/call", read), { accept: "application/json" }],
  ["a notification by that name", { jsonrpc: "2.0", method: "tools/call", params: read }, {}],
  ["another method", legacyRequest(9, "tools/list"), {}],
  ["an id that is none", { jsonrpc: "2.0", id: { a: 1 }, method: "tools/call", params: read }, {}],
  [
    "a header of the new era alone",
    legacyRequest(9, "tools/call", read),
    { "mcp-protocol-version": "2026-07-28" },
  ],
])("%s is the SDK's to judge (W1)", async (_, message, headers) => {
  const all = { ...headersOf("legacy", ""), ...(headers as Record<string, string>) };
  const direct = await send("/direct", message, all);
  expect(taken.at(-1)).toBe("sdk");
  const sdk = await send("/sdk", message, all);
  expect([direct.status, direct.text]).toEqual([sdk.status, sdk.text]);
});

test("a call that is answered at once gets one document, one that is not gets a stream (W2)", async () => {
  const quick = await send("/direct", legacyRequest(1, "tools/call", read), headersOf("legacy", ""));
  expect([quick.headers["content-type"], quick.headers["cache-control"]]).toEqual([
    "application/json",
    "no-store",
  ]);
  const slow: Reply = { ...(passed({ result: { content: [] } }) as object) } as Reply;
  const inner = gate.call;
  Object.assign(gate, {
    call: () => new Promise((resolve) => setTimeout(() => resolve(slow), 2_500)),
  });
  const late = await send("/direct", legacyRequest(2, "tools/call", read), headersOf("legacy", ""));
  Object.assign(gate, { call: inner });
  expect(late.headers["content-type"]).toBe("text/event-stream");
  expect(late.headers["cache-control"]).toBe("no-store");
  expect(late.firstByteMs).toBeLessThan(2_500);
  expect(await messagesOf(late)).toHaveLength(1);
  // One that waits for people says so by opening it.
  const deploy = { name: "deploy_service", arguments: { service: "web", ref: "w2", justification: "j" } };
  const held = await send("/direct", legacyRequest(3, "tools/call", deploy), headersOf("legacy", ""));
  expect(held.headers["content-type"]).toBe("text/event-stream");
});

test.each(["legacy", "modern"] as const)(
  "a %s client that goes aborts the signal, before the stream is open and after (W3)",
  async (era) => {
    for (const waitMs of [0, 300]) {
      const gone = new AbortController();
      const inner = gate.call;
      const heard = new Promise<void>((resolve) => {
        Object.assign(gate, {
          call: (_: unknown, { signal }: { signal: AbortSignal }) =>
            new Promise((settle) => {
              signal.addEventListener("abort", () => {
                resolve();
                settle(passed({ result: { content: [] } }));
              });
              setTimeout(() => gone.abort(), waitMs);
            }),
        });
      });
      const message =
        era === "legacy"
          ? legacyRequest(3, "tools/call", read)
          : modernRequest(3, "tools/call", { ...read, _meta: envelope });
      const headers = headersOf(era, "read_service");
      const answer = rawHttp({
        port,
        path: "/direct",
        headers,
        body: JSON.stringify(message),
        signal: gone.signal,
      });
      await expect(answer).rejects.toThrow();
      await heard;
      Object.assign(gate, { call: inner });
    }
  },
);

test("nothing is aborted once the answer is written (W3)", async () => {
  let count = 0;
  aborted = () => (count += 1);
  await send("/direct", legacyRequest(4, "tools/call", read), headersOf("legacy", ""));
  await new Promise((resolve) => setTimeout(resolve, 50));
  aborted = null;
  expect(count).toBe(0);
});
