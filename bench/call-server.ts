import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { serveStdio as serveSdk } from "@modelcontextprotocol/server/stdio";
import { fdatasync, openSync, writeSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { Agent, createServer, request, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import pino from "pino";
import * as z from "zod";
import { tokenSha256 } from "../src/base/token.ts";
import { createGroupFlush } from "../src/store/embedded/group-flush.ts";
import { createBearer } from "../src/transport/http/bearer.ts";
import { startMcpHttp } from "../src/transport/mcp/http.ts";
import { serveStdio } from "../src/transport/mcp/stdio.ts";
import type { Kind } from "./call-sides.ts";
import type { OpenedHome } from "../src/compose.ts";
import { makeUpstreamWorld } from "../test/support/upstream-world.ts";
import { CALLER, makeWorld } from "../test/support/world.ts";

// One server of the call benches, in a process of its own, over stdio or HTTP:
//
//   direct  an MCP server as anybody writes it, over the two note tools' backend
//   gate    the gateway with the note tools behind it
//   front   the gateway in front of a `direct` one, at `behind`: a URL, or "stdio" for a process of its own
//   raw     what any proxy costs: bytes from one keep-alive connection to another, `behind` a URL
//   kept    the same, and each request's bytes are in a file and flushed before its answer goes out: the least that a
//           durable log can cost. The server works meanwhile, and calls that come together share a flush

const [kind, over, token, behind] = process.argv.slice(2) as [Kind, "stdio" | "http", string, string];
const log = pino({ level: "silent" });

const ready = (url: string): void => void process.stdout.write(`ready ${url}\n`);

async function direct(): Promise<void> {
  const dir = process.cwd();
  const text = (value: string) => ({ content: [{ type: "text" as const, text: value }] });
  const factory = (): McpServer => {
    const server = new McpServer({ name: "direct", version: "1.0.0" });
    const book = z.string();
    server.registerTool("read_note", { inputSchema: z.object({ book }) }, async (args) =>
      text(await readFile(join(dir, args.book), "utf8").catch(() => "")),
    );
    const inputSchema = z.object({ book, text: z.string() });
    server.registerTool("write_note", { inputSchema }, async (args) => {
      await writeFile(join(dir, args.book), args.text);
      return text("written");
    });
    return server;
  };
  if (over === "stdio") {
    serveSdk(factory);
    return;
  }
  const handler = createMcpHandler(factory);
  const server = createServer((request, response) => {
    void (async () => {
      const web = await handler.fetch(
        new Request(`http://127.0.0.1${request.url ?? "/"}`, {
          method: request.method ?? "GET",
          headers: request.headers as Record<string, string>,
          ...(request.method === "POST" ? { body: await bodyOf(request) } : {}),
        }),
      );
      response.writeHead(web.status, Object.fromEntries(web.headers));
      for await (const chunk of web.body ?? []) response.write(chunk);
      response.end();
    })();
  });
  server.listen(0, "127.0.0.1", () =>
    ready(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`),
  );
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  return body;
}

const many = 1e9;
const limits = {
  ...{ heldPerMinute: many, readsPerMinute: many, previewsPerHour: many, openRequests: many },
  ...{ blobBytesPerDay: 1e12, previewsAtOnce: 64 },
};

/** A thousand rules, of which one says something about these calls. */
const rules = (tools: readonly string[]): string =>
  [
    "rules:",
    ...tools.map(
      (tool) => `  - { id: ${tool.replaceAll("_", "-")}-is-free, match: { tool: ${tool} }, verdict: allow }`,
    ),
    ...Array.from(
      { length: 1_000 - tools.length },
      (_, i) => `  - { id: rule-${i}, match: { tool: ${tools[1]}, environment: place-${i} }, verdict: hold }`,
    ),
    "",
  ].join("\n");

async function fronted(): Promise<{ home: OpenedHome; close(): Promise<void> }> {
  const entry =
    behind === "stdio"
      ? { command: [process.execPath, process.argv[1], "direct", "stdio", ""], cwd: process.cwd() }
      : { url: behind };
  const tools = { read_note: { effect: "read" }, write_note: { effect: "write" } };
  return makeUpstreamWorld(() => ({ up: { ...entry, environment: "lab", prefix: "none", tools } }), {
    ...{ limits, quiet: true, rules: rules(["read_note", "write_note"]) },
  });
}

/** Nothing but a way through; with `keep`, no answer goes out before the request's bytes are kept. */
function raw(keep?: (bytes: Buffer) => Promise<void>): void {
  const agent = new Agent({ keepAlive: true, noDelay: true });
  const { port, pathname } = new URL(behind);
  const server = createServer((incoming, outgoing) => {
    const options = { agent, port, host: "127.0.0.1", path: pathname, method: incoming.method ?? "POST" };
    const kept = keep === undefined ? null : bytesOf(incoming).then(keep);
    const onward = request({ ...options, headers: incoming.headers }, (answer) => {
      const pass = (): void => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      };
      if (kept === null) pass();
      else void kept.then(pass);
    });
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  });
  server.listen(0, "127.0.0.1", () =>
    ready(`http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`),
  );
}

const bytesOf = (incoming: IncomingMessage): Promise<Buffer> =>
  new Promise((resolve) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => resolve(Buffer.concat(chunks)));
  });

function createKeeper(): (bytes: Buffer) => Promise<void> {
  const fd = openSync(join(process.cwd(), `kept-${process.pid}`), "a");
  const flushes = createGroupFlush(
    () =>
      new Promise((resolve, reject) => {
        fdatasync(fd, (error) => (error === null ? resolve() : reject(error)));
      }),
  );
  return (bytes) => {
    writeSync(fd, bytes);
    return flushes.now();
  };
}

async function gate(): Promise<void> {
  const { home, close } =
    kind === "front"
      ? await fronted()
      : await makeWorld({ limits, rules: rules(["read_note", "write_note"]) });
  const options = { holdMs: 40_000, version: "bench", log };
  if (over === "stdio") {
    await serveStdio(home.gate, CALLER, options);
    await close();
    return;
  }
  const http = await startMcpHttp({
    ...{ gate: home.gate, listener: { host: "127.0.0.1", port: 0 }, ...options },
    authenticate: createBearer([
      {
        name: "bench",
        tokenSha256: tokenSha256(token),
        principal: { kind: "named", id: "ana" },
        agent: "claude",
      },
    ]),
  });
  process.once("SIGTERM", () => void http.close(1_000).then(close));
  ready(http.url);
}

if (kind === "raw") raw();
else if (kind === "kept") raw(createKeeper());
else await (kind === "direct" ? direct() : gate());
