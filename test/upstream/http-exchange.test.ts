import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import type { JsonObject } from "../../src/base/canonical-json.ts";
import { connect, type CallOptions, type Connection } from "../../src/upstream/connection.ts";
import { ErrorReply, LostReply, NotSent } from "../../src/upstream/failure.ts";
import { createHttpExchanges } from "../../src/upstream/http-exchange.ts";
import { createHttpTransport } from "../../src/upstream/http-transport.ts";

// A server behind a URL that does one thing wrong: what becomes of the call, and how often did it arrive? (E1, E2, X2)

type Answer = (call: JsonObject, request: IncomingMessage, response: ServerResponse) => void;

interface Bad {
  readonly url: string;
  /** The tools/call requests that arrived, and what came with each. */
  readonly calls: { readonly headers: IncomingMessage["headers"]; readonly body: JsonObject }[];
  readonly sockets: Set<unknown>;
  answer: Answer;
  /** What becomes of a notification. */
  hear: (response: ServerResponse) => void;
  get: (request: IncomingMessage, response: ServerResponse) => void;
  close(): Promise<void>;
}

const after: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of after.splice(0).reverse()) await stop();
});

const json = (response: ServerResponse, message: unknown, headers = {}): void => {
  response.writeHead(200, { "content-type": "application/json", ...headers });
  response.end(typeof message === "string" ? message : JSON.stringify(message));
};
const resultOf = ({ id }: JsonObject, result: JsonObject = { content: [] }): JsonObject => ({
  jsonrpc: "2.0",
  id: id as number,
  result,
});
const event = (message: unknown, id = ""): string =>
  `${id === "" ? "" : `id: ${id}\n`}event: message\ndata: ${JSON.stringify(message)}\n\n`;
const stream = (response: ServerResponse): void =>
  void response.writeHead(200, { "content-type": "text/event-stream" });

async function serve(answer: Answer): Promise<Bad> {
  const made: Bad = {
    url: "",
    calls: [],
    sockets: new Set(),
    answer,
    hear: (response) => void response.writeHead(202).end(),
    get: (_, response) => void response.writeHead(405).end(),
    close: () => Promise.resolve(),
  };
  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.method !== "POST") return made.get(request, response);
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as JsonObject;
    if (body["method"] === "initialize") {
      const serverInfo = { name: "bad", version: "1" };
      const result = { protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo };
      return json(response, resultOf(body, result), { "mcp-session-id": "s-1" });
    }
    if (body["id"] === undefined) return made.hear(response);
    made.calls.push({ headers: request.headers, body });
    made.sockets.add(request.socket);
    made.answer(body, request, response);
  };
  const server: Server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  after.push(close);
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
  return Object.assign(made, { url, close });
}

function selfSigned(dir: string): { readonly key: Buffer; readonly cert: Buffer } {
  const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")] as const;
  const made = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
  ];
  const about = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  execFileSync("openssl", [...made, ...about, "-keyout", key, "-out", cert], { stdio: "pipe" });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

async function connected(bad: Bad, maxMessageBytes = 65_536): Promise<Connection> {
  const connection = await connect({
    ...{ alias: "bad", version: "0", connectTimeoutMs: 10_000, prior: { kind: "legacy" } },
    createTransport: () =>
      createHttpTransport({
        url: bad.url,
        headers: { Authorization: "Bearer of-the-upstream" },
        maxMessageBytes,
      }),
    onListChanged: () => undefined,
    onError: () => undefined,
    onClose: () => undefined,
  });
  after.push(() => connection.close());
  return connection;
}

const call = (over: Connection, options: Partial<CallOptions> = {}): Promise<unknown> =>
  over
    .request(
      "tools/call",
      { name: "act", arguments: {} },
      { signal: new AbortController().signal, timeoutMs: 20_000, ...options },
    )
    .catch((error: unknown) => error);

test("a call goes out once, over a connection that stays open, with what belongs to it and the server's own credentials", async () => {
  const bad = await serve((body, _, response) => json(response, resultOf(body, { content: [], n: 1 })));
  const over = await connected(bad);
  expect(await call(over)).toEqual({ content: [], n: 1 });
  expect(await call(over, { headers: { "Mcp-Param-A": "1", Authorization: "theirs" } })).toEqual({
    content: [],
    n: 1,
  });
  expect(bad.calls).toHaveLength(2);
  expect(bad.sockets.size).toBe(1);
  expect(bad.calls[1]?.headers).toMatchObject({
    ...{ authorization: "Bearer of-the-upstream", "mcp-session-id": "s-1" },
    ...{ "mcp-protocol-version": "2025-11-25", accept: "application/json, text/event-stream" },
  });
  expect(bad.calls[1]?.headers).not.toHaveProperty("mcp-name");
});

describe("an outcome that is not known", () => {
  const LOST: readonly (readonly [string, Answer])[] = [
    ["the connection breaks before an answer", (_, request) => void request.socket.destroy()],
    [
      "the answer breaks off",
      (_, request, response) => {
        response.writeHead(200, { "content-type": "application/json", "content-length": "100" });
        response.write('{"jsonrpc"', () => request.socket.destroy());
      },
    ],
    [
      "the stream breaks off",
      (_, request, response) => {
        stream(response);
        response.write(": soon\n\n", () => request.socket.destroy());
      },
    ],
    [
      "the stream ends without the reply",
      (_, __, response) => {
        stream(response);
        response.end(
          event({ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: 1 } }),
        );
      },
    ],
    [
      "the answer is no HTTP from its body on, in one piece with its head",
      (_, request) =>
        void request.socket.end(
          "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
        ),
    ],
    ["the answer is no JSON", (_, __, response) => json(response, "{")],
    ["the answer is no message", (_, __, response) => json(response, { jsonrpc: "2.0", id: 1 })],
    [
      "the answer is another request's",
      (body, __, response) => json(response, { ...resultOf(body), id: 999 }),
    ],
    [
      "the answer is a page",
      (_, __, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<p>"),
    ],
    [
      "the answer is packed",
      (body, __, response) => {
        response.writeHead(200, { "content-type": "application/json", "content-encoding": "gzip" });
        response.end(gzipSync(JSON.stringify(resultOf(body))));
      },
    ],
    [
      "the answer is too large",
      (body, __, response) => json(response, resultOf(body, { content: [], text: "x".repeat(100_000) })),
    ],
    [
      "an event is too large",
      (body, __, response) => {
        stream(response);
        response.end(event(resultOf(body, { content: [], text: "x".repeat(300_000) })));
      },
    ],
    [
      "an event never ends",
      (_, __, response) => {
        stream(response);
        response.write(`data: ${"x".repeat(300_000)}`);
      },
    ],
    ["the server fails", (_, __, response) => void response.writeHead(500).end()],
    ["the status is 400", (_, __, response) => void response.writeHead(400).end("no")],
  ];
  test.each(LOST)(
    "%s: the call is not sent again, and nothing says that it had no effect",
    async (_, answer) => {
      const bad = await serve(answer);
      const over = await connected(bad);
      expect(await call(over)).toBeInstanceOf(LostReply);
      expect(bad.calls).toHaveLength(1);
      bad.answer = (body, __, response) => json(response, resultOf(body));
      expect(await call(over)).toEqual({ content: [] });
    },
  );

  test("a kept connection that the server closes as the call comes in is not tried again on another (E2)", async () => {
    const bad = await serve((body, _, response) => json(response, resultOf(body)));
    const over = await connected(bad);
    await call(over);
    bad.answer = (_, request) => void request.socket.destroy();
    expect(await call(over)).toBeInstanceOf(LostReply);
    expect([bad.calls.length, bad.sockets.size]).toEqual([2, 1]);
  });
});

describe("a list on a kept connection that the server closes as it comes in", () => {
  const listed = (body: JsonObject) => resultOf(body, { tools: [] });

  test("is asked for once more, on another", async () => {
    const bad = await serve((body, _, response) => json(response, listed(body)));
    const over = await connected(bad);
    await over.list();
    bad.answer = (_, request) => {
      bad.answer = (body, __, response) => json(response, listed(body));
      request.socket.destroy();
    };
    expect((await over.list()).definitions.size).toBe(0);
    expect([bad.calls.length, bad.sockets.size]).toEqual([3, 2]);
  });

  test("and no third time", async () => {
    const bad = await serve((body, _, response) => json(response, listed(body)));
    const over = await connected(bad);
    await over.list();
    bad.answer = (_, request) => void request.socket.destroy();
    await expect(over.list()).rejects.toBeInstanceOf(LostReply);
    expect(bad.calls).toHaveLength(3);
  });

  test("where nobody listens any more, it was not sent", async () => {
    const bad = await serve((body, _, response) => json(response, listed(body)));
    const over = await connected(bad);
    await over.list();
    const closed = bad.close();
    await expect(over.list()).rejects.toMatchObject({ name: "NotSent", code: "upstream_unavailable" });
    await closed;
  });
});

describe("a call that was not made", () => {
  test("nobody listens any more", async () => {
    const bad = await serve((body, _, response) => json(response, resultOf(body)));
    const over = await connected(bad);
    await bad.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await call(over)).toMatchObject({ name: "NotSent", code: "upstream_unavailable" });
  });

  test.each([401, 403, 404, 405, 406, 413, 415, 429])("the server turns it away with %s", async (status) => {
    const bad = await serve((_, __, response) => void response.writeHead(status).end());
    expect(await call(await connected(bad))).toMatchObject({ name: "NotSent", code: "upstream_refused" });
  });

  test.each([301, 302, 307, 308])(
    "a redirect (%s) is not followed, and takes no credential along (E1)",
    async (status) => {
      const other = await serve((body, _, response) => json(response, resultOf(body)));
      const bad = await serve(
        (_, __, response) => void response.writeHead(status, { location: other.url }).end(),
      );
      const given = await call(await connected(bad));
      expect(given).toBeInstanceOf(NotSent);
      expect(other.calls).toHaveLength(0);
    },
  );
});

test("a server whose certificate nobody vouches for gets nothing, and the call goes to nobody (E1)", async () => {
  const dir = mkdtempSync(join(tmpdir(), "countersign-tls-"));
  after.push(() => Promise.resolve(rmSync(dir, { recursive: true, force: true })));
  const { key, cert } = selfSigned(dir);
  let heard = 0;
  const server = createTlsServer({ key, cert }, (_, response) => {
    heard += 1;
    json(response, resultOf({ id: 1 }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  after.push(() => new Promise((resolve) => server.close(() => resolve())));
  const exchanges = createHttpExchanges({
    url: new URL(`https://localhost:${(server.address() as AddressInfo).port}/mcp`),
    ...{ headers: { authorization: "Bearer of-the-upstream" }, maxMessageBytes: 65_536 },
  });
  const ran = exchanges.run({
    message: { jsonrpc: "2.0", id: 1, method: "tools/call", params: { name: "act" } },
    ...{ headers: {}, signal: undefined, deliver: () => undefined, onerror: () => undefined },
  });
  await expect(ran).rejects.toThrow(/self-signed/);
  exchanges.close();
  expect(heard).toBe(0);
});

test("an error that the server answers with is its answer", async () => {
  const bad = await serve(({ id }, _, response) =>
    json(response, { jsonrpc: "2.0", id: id as number, error: { code: -32_000, message: "no" } }),
  );
  expect(await call(await connected(bad))).toBeInstanceOf(ErrorReply);
});

test("a number that comes back as text is this call's", async () => {
  const bad = await serve((body, _, response) =>
    json(response, { ...resultOf(body), id: String(body["id"]) }),
  );
  expect(await call(await connected(bad))).toEqual({ content: [] });
});

test("progress and the reply may come in one piece, cut anywhere", async () => {
  const bad = await serve((body, _, response) => {
    const token = ((body["params"] as JsonObject)["_meta"] as JsonObject)["progressToken"] as number;
    const said = (progress: number): unknown => ({
      ...{ jsonrpc: "2.0", method: "notifications/progress" },
      params: { progressToken: token, progress, message: "ü" },
    });
    stream(response);
    const bytes = Buffer.from(
      event(said(1)) + ": beat\n\n" + event(said(2)) + event(resultOf(body, { content: [], t: "ü" })),
    );
    const cut = bytes.indexOf("ü") + 1;
    response.write(bytes.subarray(0, cut), () => setTimeout(() => response.end(bytes.subarray(cut)), 20));
  });
  const told: string[] = [];
  expect(await call(await connected(bad), { progress: (message) => told.push(message) })).toEqual({
    content: [],
    t: "ü",
  });
  expect(told).toEqual(["1 ü", "2 ü"]);
});

test("a stream that names its events is taken up again where it broke, and the call is not sent again", async () => {
  let asked: JsonObject = {};
  const bad = await serve((body, _, response) => {
    asked = body;
    stream(response);
    response.end("retry: 10\nid: e-1\ndata:\n\n");
  });
  const resumed: unknown[] = [];
  bad.get = (request, response) => {
    // The SDK asks for a stream of its own, once.
    if (request.headers["last-event-id"] === undefined) return void response.writeHead(405).end();
    resumed.push(
      request.headers["last-event-id"],
      request.headers["mcp-session-id"],
      request.headers.authorization,
    );
    if (resumed.length === 3) return void response.writeHead(503).end();
    stream(response);
    response.end(event(resultOf(asked), "e-2"));
  };
  expect(await call(await connected(bad))).toEqual({ content: [] });
  expect(resumed).toEqual(["e-1", "s-1", "Bearer of-the-upstream", "e-1", "s-1", "Bearer of-the-upstream"]);
  expect(bad.calls).toHaveLength(1);
});

test.each([
  ["takes note of that", (response: ServerResponse) => void response.writeHead(202).end()],
  ["refuses to hear of that", (response: ServerResponse) => void response.writeHead(500).end()],
  ["does not answer that either", () => undefined],
])(
  "a call that nobody waits for any more leaves no connection behind, though its server %s",
  async (_, hear) => {
    const closed: string[] = [];
    const bad = await serve((_, request, response) => {
      stream(response);
      response.flushHeaders();
      request.socket.once("close", () => closed.push("closed"));
    });
    const over = await connected(bad);
    bad.hear = hear;
    const gone = new AbortController();
    const given = call(over, { signal: gone.signal });
    while (bad.calls.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    gone.abort();
    expect(await given).toBeInstanceOf(LostReply);
    while (closed.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  },
);
