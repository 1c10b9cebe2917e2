import { createMcpHandler, isJsonContentType, type AuthInfo } from "@modelcontextprotocol/server";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import type { Gate } from "../../gate/reply.ts";
import { createHeaderCheck } from "../../request/param-headers.ts";
import type { Caller } from "../../request/principal.ts";
import { answerJson, answerWeb, toWebRequest } from "../http/answer.ts";
import { readBody } from "../http/body.ts";
import { checkFrontDoor, createFrontDoor, type FrontDoor } from "../http/front-door.ts";
import { listen } from "../http/listen.ts";
import { createTurnedAwayLog } from "../http/turned-away.ts";
import { answerCall } from "./answer-call.ts";
import { clientClaim, clientIn } from "./call-context.ts";
import { createCallsUnderWay } from "./calls-under-way.ts";
import { answerDirectly, directCallOf } from "./direct-call.ts";
import { AGENT_HEADER, HEADER_MISMATCH, MCP_PATH } from "./http-names.ts";
import { createMcpIdentify, type IdentifyParts, type McpCaller } from "./identify.ts";
import {
  cancelledIdOf,
  MAX_MESSAGE_BYTES,
  metaOf,
  paramsOf,
  parseError,
  parseMessage,
  requestIdOf,
  type Message,
} from "./message.ts";
import { createMcpServer, serverInfo, type McpConnection, type McpParts } from "./server.ts";
import { stepUpFor } from "./step-up.ts";
import { clientOfSession, createOpenCalls, newSessionId } from "./session.ts";
import { createShare } from "./share.ts";
import { toolIndexOf } from "./tool-index.ts";

// MCP over streamable HTTP, for clients of both protocol eras.
//
// Order of the checks: Host, Origin, path, token, method, media type, size, encoding, JSON, scope. Nothing of a body is
// read before its sender is known. All state of a call is in the gate: a listener can be restarted under its clients.

export interface McpHttpParts extends IdentifyParts, Pick<McpParts, "holdFor" | "rounds" | "pollMs"> {
  readonly gate: Gate;
  readonly listener: { readonly host: string; readonly port: number };
  /** Complete `host:port` values beside the loopback ones, for a proxy or a container. */
  readonly hosts?: readonly string[];
  readonly holdMs: number;
  readonly version: string;
  readonly log: Logger;
  readonly progressEveryMs?: number;
  readonly keepAliveMs?: number;
}

export interface McpHttp {
  readonly url: string;
  readonly port: number;
  /** Gives held calls their tickets, lets running ones end within `graceMs` (5 s), then closes. */
  close(graceMs?: number): Promise<void>;
}

/**
 * Opens the MCP listener. Port 0 takes a free one.
 * @throws CountersignError `LISTEN_FAILED`
 */
export async function startMcpHttp(parts: McpHttpParts): Promise<McpHttp> {
  const underWay = createCallsUnderWay();
  const serverParts = { ...parts, underWay };
  const self = serverInfo(parts.version);
  const calls = createOpenCalls();
  const share = createShare(MOST_OF_ONE);
  const turnedAway = createTurnedAwayLog(parts.log, "mcp");
  const identify = createMcpIdentify(parts);
  const { oauth } = parts;
  const handler = createMcpHandler(
    // A client of the older era would need a stream of its own, which is not served.
    (ctx) =>
      createMcpServer(serverParts, {
        ...connectionOf(ctx.authInfo),
        era: ctx.era,
        hears: ctx.era === "modern",
      }),
    {
      responseMode: "sse",
      maxSubscriptions: 64,
      ...(parts.keepAliveMs === undefined ? {} : { keepAliveMs: parts.keepAliveMs }),
      onerror: (error) => parts.log.debug({ err: error.message }, "mcp message not served"),
    },
  );

  const unhear = parts.gate.onToolsChanged(() => handler.notify.toolsChanged());

  let door: FrontDoor = createFrontDoor(parts.listener.port, []);
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const refuse = (
      status: number,
      code: number,
      message: string,
      headers?: Record<string, string>,
      why?: string,
    ): void => {
      // Older clients ask for a stream of their own with GET, and are told so.
      if (status !== 405) turnedAway.count(status, why);
      answerJson(response, status, { jsonrpc: "2.0", id: null, error: { code, message } }, headers);
    };
    const away = checkFrontDoor(request, door);
    if (away !== null) return refuse(away.status, -32600, away.message);
    if (oauth !== undefined && request.method === "GET" && oauth.metadataPaths.has(request.url ?? ""))
      return answerJson(response, 200, oauth.metadata);
    if (request.url !== MCP_PATH) return refuse(404, -32600, `the endpoint is ${MCP_PATH}`);
    const identified = await identify(request);
    if (!identified.ok) {
      const { status, words, retryAfterMs, why } = identified;
      return refuse(
        status,
        -32600,
        words,
        turnAwayHeaders(identify.challenge(request, words), status, retryAfterMs),
        why,
      );
    }
    const { client } = identified;
    const done = share.take(client.name);
    if (done === null)
      return refuse(429, -32600, `${MOST_OF_ONE} requests of this caller are open already`, {
        "retry-after": "1",
      });
    response.once("close", done);
    if (request.method !== "POST") return refuse(405, -32600, "only POST is served", { allow: "POST" });
    if (!isJsonContentType(request.headers["content-type"] ?? null)) {
      return refuse(415, -32600, "content-type must be application/json");
    }
    if ((request.headers["content-encoding"] ?? "identity") !== "identity") {
      return refuse(415, -32600, "content-encoding is not served");
    }
    const body = await readBody(request, MAX_MESSAGE_BYTES);
    if (!body.ok) {
      if (body.why === "too_large") refuse(413, -32600, `a message may have ${MAX_MESSAGE_BYTES} bytes`);
      return;
    }
    const parsed = parseMessage(body.bytes);
    if (!parsed.ok) {
      turnedAway.count(400);
      return answerJson(response, 400, parseError(parsed));
    }
    await exchange(request, response, client, body.bytes, parsed.message);
  };

  const checkHeaders = createHeaderCheck();
  const mismatchOf = (request: IncomingMessage, message: Message): string | null => {
    if (message["method"] !== "tools/call" || !isModern(message)) return null;
    const { name, arguments: args } = paramsOf(message);
    const tool = typeof name === "string" ? toolIndexOf(parts.gate.tools()).byName.get(name) : undefined;
    if (tool === undefined) return null;
    return checkHeaders(tool.inputSchema, args, (header) => request.headersDistinct[header]?.join(", "));
  };

  const exchange = async (
    request: IncomingMessage,
    response: ServerResponse,
    client: McpCaller,
    bytes: Uint8Array,
    message: Message,
  ): Promise<void> => {
    const session = headerOf(request, "mcp-session-id");
    const id = requestIdOf(message);
    const mismatch = mismatchOf(request, message);
    if (mismatch !== null) {
      turnedAway.count(400);
      const error = { code: HEADER_MISMATCH, message: `headers and body disagree: ${mismatch}` };
      return answerJson(response, 400, { jsonrpc: "2.0", id, error });
    }
    const cancelled = cancelledIdOf(message);
    if (cancelled !== null && session !== null) calls.cancel(client.name, session, cancelled);
    const open = id === null || session === null ? null : calls.open(client.name, session, id);
    const caller: Caller = {
      principal: client.principal,
      agent: (client.namesItsAgent === true ? headerOf(request, AGENT_HEADER) : null) ?? client.agent,
      ...(client.acting === undefined ? {} : { acting: client.acting }),
      ...(client.permits === undefined ? {} : { permits: client.permits }),
      transport: "http",
      client: clientOfSession(session),
    };
    const extra: Omit<McpConnection, "era"> = {
      caller,
      ...(open === null ? {} : { gone: open.signal }),
      ...(typeof message["method"] === "string" ? { method: message["method"] } : {}),
    };
    try {
      if (oauth !== undefined && client.canStepUp === true) {
        const beyond = await stepUpFor(oauth, parts.gate, message, caller);
        if (beyond !== null) {
          turnedAway.count(403, "insufficient_scope");
          return answerJson(response, 403, beyond.body, { "www-authenticate": beyond.challenge });
        }
      }
      const direct = directCallOf(request, message);
      if (direct !== null) {
        await answerDirectly(direct, response, {
          answer: (request, ctx, takesTime) => {
            const { era } = direct;
            const asks = { ...caller, client: clientIn(ctx) ?? caller.client };
            return answerCall(serverParts, { ...extra, era, takesTime, caller: asks }, request, ctx);
          },
          self,
          ...(parts.keepAliveMs === undefined ? {} : { keepAliveMs: parts.keepAliveMs }),
        });
        if (response.statusCode >= 400) turnedAway.count(response.statusCode);
        return;
      }
      const web = await handler.fetch(
        toWebRequest(request, response, [...door.hosts][0] ?? "localhost", bytes),
        {
          parsedBody: message,
          authInfo: { token: "", clientId: client.name, scopes: [], extra: { ...extra } },
        },
      );
      if (isLegacyInitialize(message) && web.ok) web.headers.set("mcp-session-id", sessionOf(message));
      if (!web.ok) turnedAway.count(web.status);
      await answerWeb(response, web);
    } finally {
      open?.close();
    }
  };

  const listening = await listen({
    ...parts.listener,
    what: "MCP listener",
    setting: "listeners.mcp in countersign.yaml",
    handle: (request, response) => {
      serve(request, response).catch((error: unknown) => {
        parts.log.error({ err: error }, "mcp request failed");
        if (!response.headersSent) {
          answerJson(response, 500, {
            jsonrpc: "2.0",
            id: null,
            error: { code: -32603, message: "internal error" },
          });
        } else response.destroy();
      });
    },
  });
  const named = oauth === undefined ? [] : [oauth.host];
  door = createFrontDoor(listening.port, ["127.0.0.1", "localhost"], [...(parts.hosts ?? []), ...named]);
  const host = listening.host.includes(":") ? `[${listening.host}]` : listening.host;
  return {
    url: `http://${host}:${listening.port}${MCP_PATH}`,
    port: listening.port,
    async close(graceMs = 5_000) {
      underWay.stop();
      unhear();
      await listening.close(graceMs);
      await handler.close();
      turnedAway.stop();
      await underWay.settled();
    },
  };
}

/** Of the listener's connections (512): whoever holds this many calls leaves as many to everybody else. */
const MOST_OF_ONE = 256;

/** What the listener put into the SDK's pass-through for the server of this one request. */
function connectionOf(authInfo: AuthInfo | undefined): McpConnection {
  const extra = authInfo?.extra;
  if (extra?.["caller"] === undefined) throw new Error("a request came without its caller");
  return extra as unknown as McpConnection;
}

const turnAwayHeaders = (challenge: string, status: number, retryAfterMs = 0): Record<string, string> => ({
  ...(status === 401 ? { "www-authenticate": challenge } : {}),
  ...(retryAfterMs > 0 ? { "retry-after": String(Math.ceil(retryAfterMs / 1_000)) } : {}),
});

const headerOf = (request: IncomingMessage, name: string): string | null => {
  const value = request.headers[name];
  return typeof value === "string" && value !== "" && value.length <= 2_048 ? value : null;
};

/** Clients from before 2026-07-28 put nothing of the protocol into the request itself. */
const isModern = (message: Message): boolean =>
  metaOf(message)["io.modelcontextprotocol/protocolVersion"] !== undefined;

const isLegacyInitialize = (message: Message): boolean =>
  message["method"] === "initialize" && !isModern(message);

function sessionOf(initialize: Message): string {
  const info = paramsOf(initialize)["clientInfo"] as { name?: unknown; version?: unknown } | undefined;
  return newSessionId(clientClaim(info?.name, info?.version));
}
