import { Server } from "@modelcontextprotocol/sdk/server/index.js";
import {
  StreamableHTTPServerTransport,
  type EventStore,
} from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import {
  CallToolRequestSchema,
  ListResourcesRequestSchema,
  ListToolsRequestSchema,
  ReadResourceRequestSchema,
  type JSONRPCMessage,
} from "@modelcontextprotocol/sdk/types.js";
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

// A server of 2025-11-25 behind a URL, by the SDK of that time, with a session for each client, as its own examples are
// written. It forgets sessions when it is told to, as one does that was started again.

export interface SessionServer {
  readonly url: string;
  /** What its write tool was called with, in order. */
  readonly lines: readonly string[];
  /** One line an HTTP request: method, JSON-RPC method or "-", status. */
  readonly seen: readonly string[];
  readonly sessions: () => readonly string[];
  /** Calls that their client took back. */
  readonly cancelled: readonly string[];
  /** Forgets every session; requests that name one get this status. */
  forget(status: 404 | 400): void;
  /** Changes the tools, and says so to whoever listens. */
  changeTools(note: string): Promise<void>;
  /** Turns the next list away, as one does whose token was replaced; the session stays. */
  refuseNextList(): void;
  /** Lets the calls of `wait` have their answer. */
  release(): void;
  /** Ends the response stream of the next call before its answer; the client may take it up again. */
  cutNextStream(): void;
  close(): Promise<void>;
}

interface Session {
  readonly server: Server;
  readonly transport: StreamableHTTPServerTransport;
}

export async function startSessionServer(
  options: { readonly json?: boolean; readonly resumable?: boolean } = {},
): Promise<SessionServer> {
  const sessions = new Map<string, Session>();
  const lines: string[] = [];
  const seen: string[] = [];
  const cancelled: string[] = [];
  let lostStatus: 404 | 400 = 404;
  let note = "";
  let cut = false;
  let refusesList = false;
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));

  const build = (): Server => {
    const server = new Server(
      { name: "session-server", version: "1.0.0" },
      { capabilities: { tools: { listChanged: true }, resources: {} } },
    );
    const inputSchema = { type: "object" as const, properties: { line: { type: "string" } } };
    server.setRequestHandler(ListToolsRequestSchema, () => ({
      tools: ["append", "look", "hang", "steps", "wait"].map((name) => ({
        name,
        description: `${name}${note}`,
        inputSchema,
        annotations: { readOnlyHint: name === "look", destructiveHint: false },
      })),
    }));
    server.setRequestHandler(ListResourcesRequestSchema, () => ({
      resources: [{ uri: "lines://all", name: "lines" }],
    }));
    server.setRequestHandler(ReadResourceRequestSchema, ({ params }) => ({
      contents: [{ uri: params.uri, text: lines.join(",") }],
    }));
    server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
      const say = (text: string) => ({ content: [{ type: "text" as const, text }] });
      switch (params.name) {
        case "append": {
          if (cut) {
            cut = false;
            extra.closeSSEStream?.();
          }
          lines.push(String(params.arguments?.["line"]));
          return say(`line ${lines.length}`);
        }
        case "wait":
          lines.push("waits");
          await released;
          return say("waited");
        case "look":
          return say(lines.join(","));
        case "steps": {
          const progressToken = params._meta?.progressToken;
          for (let progress = 1; progressToken !== undefined && progress <= 2; progress += 1) {
            await extra.sendNotification({
              method: "notifications/progress",
              params: { progressToken, progress, total: 2, message: `step ${progress}` },
            });
          }
          return say("two steps");
        }
        default:
          return new Promise((resolve) => {
            extra.signal.addEventListener("abort", () => {
              cancelled.push(params.name);
              resolve(say("too late"));
            });
          });
      }
    });
    return server;
  };

  const refuse = (response: ServerResponse, status: number, message: string): void => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify({ jsonrpc: "2.0", error: { code: -32000, message }, id: null }));
  };
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const body = text === "" ? undefined : (JSON.parse(text) as { method?: string });
    response.once("finish", () =>
      seen.push(`${request.method ?? ""} ${body?.method ?? "-"} ${response.statusCode}`),
    );
    if (refusesList && body?.method === "tools/list") {
      refusesList = false;
      return refuse(response, 401, "Unauthorized");
    }
    const id = request.headers["mcp-session-id"] as string | undefined;
    const known = id === undefined ? undefined : sessions.get(id);
    if (known !== undefined) return known.transport.handleRequest(request, response, body);
    if (id !== undefined) return refuse(response, lostStatus, "Session not found");
    if (body?.method !== "initialize") return refuse(response, 400, "No valid session ID provided");
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      enableJsonResponse: options.json === true,
      ...(options.resumable === true ? { eventStore: memoryEvents(), retryInterval: 100 } : {}),
      onsessioninitialized: (session) => void sessions.set(session, { server, transport }),
      onsessionclosed: (session) => void sessions.delete(session),
    });
    const server = build();
    await server.connect(transport as never);
    return transport.handleRequest(request, response, body);
  };
  const http = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`,
    lines,
    seen,
    cancelled,
    sessions: () => [...sessions.keys()],
    forget(status) {
      lostStatus = status;
      const all = [...sessions.values()];
      sessions.clear();
      for (const { transport } of all) void transport.close();
    },
    async changeTools(text) {
      note = text;
      for (const { server } of sessions.values()) await server.sendToolListChanged();
    },
    refuseNextList() {
      refusesList = true;
    },
    release: () => release(),
    cutNextStream() {
      cut = true;
    },
    async close() {
      for (const { transport } of sessions.values()) await transport.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

/** Events of one session, in the order they were sent. */
function memoryEvents(): EventStore {
  const events: { readonly id: string; readonly stream: string; readonly message: JSONRPCMessage }[] = [];
  return {
    storeEvent(stream, message) {
      const id = String(events.length + 1);
      events.push({ id, stream, message });
      return Promise.resolve(id);
    },
    getStreamIdForEventId: (id) => Promise.resolve(events.find((event) => event.id === id)?.stream),
    async replayEventsAfter(last, { send }) {
      const at = events.findIndex(({ id }) => id === last);
      const stream = events[at]?.stream ?? "";
      for (const event of events.slice(at + 1)) {
        if (event.stream === stream) await send(event.id, event.message);
      }
      return stream;
    },
  };
}
