import {
  classifyInboundRequest,
  PROTOCOL_VERSION_META_KEY,
  ProtocolError,
  ProtocolErrorCode,
  SERVER_INFO_META_KEY,
  SUPPORTED_PROTOCOL_VERSIONS,
  type Implementation,
  type InboundClassificationOutcome,
  type JSONRPCMessage,
  type JSONRPCRequest,
  type Result,
} from "@modelcontextprotocol/server";
import type { IncomingMessage, ServerResponse } from "node:http";
import { isJsonObject } from "../../base/json-object.ts";
import { COMMON_HEADERS } from "../http/answer.ts";
import { liftedFrom, type CallContext } from "./call-context.ts";
import { metaOf, paramsOf, type Message } from "./message.ts";
import { MODERN_REVISION } from "./names.ts";

// A `tools/call` over HTTP without the SDK's web requests, responses, streams and server, which cost more than the call's
// own checks. What it is answered with is the same (test/transport/mcp/direct-call).
//
//   W1. Only what nothing is wrong with goes this way: the SDK's own classifier says what it is, and its headers are
//       literally those of its body. Everything else is the SDK's to refuse, in its words.
//   W2. An answer that is there at once is one JSON document; else a stream opens that has progress, comments, answer. A
//       call that waits for people opens it when it begins to wait.
//   W3. The other side's end of the exchange aborts the call's signal, as long as the answer has not been written.

const METHOD = "tools/call";

export interface DirectCall {
  readonly era: "legacy" | "modern";
  readonly message: JSONRPCRequest;
}

/** The call that a message is, where it may go this way (W1). */
export function directCallOf({ headers }: IncomingMessage, message: Message): DirectCall | null {
  if (message["method"] !== METHOD) return null;
  const accept = headers.accept ?? "";
  if (!accept.includes("application/json") || !accept.includes("text/event-stream")) return null;
  const [version, method, name] = ["mcp-protocol-version", "mcp-method", "mcp-name"].map(
    (header) => headers[header] as string | undefined,
  );
  const outcome = classifyInboundRequest({
    httpMethod: "POST",
    body: message,
    ...(version === undefined ? {} : { protocolVersionHeader: version }),
    ...(method === undefined ? {} : { mcpMethodHeader: method }),
    ...(name === undefined ? {} : { mcpNameHeader: name }),
  });
  switch (outcome.kind) {
    case "reject":
      return null;
    case "legacy": {
      const isServed = version === undefined || SUPPORTED_PROTOCOL_VERSIONS.includes(version);
      if (outcome.reason !== "no-claim" || !isServed) return null;
      return { era: "legacy", message: message as unknown as JSONRPCRequest };
    }
    case "modern":
      return modernCall(outcome, message, { version, method, name });
  }
}

function modernCall(
  { messageKind, message, classification }: InboundClassificationOutcome & { kind: "modern" },
  body: Message,
  headers: Readonly<Record<"version" | "method" | "name", string | undefined>>,
): DirectCall | null {
  const isLiteral =
    classification.era === "modern" &&
    classification.revision === MODERN_REVISION &&
    metaOf(body)[PROTOCOL_VERSION_META_KEY] === MODERN_REVISION &&
    headers.version === MODERN_REVISION &&
    headers.method === METHOD &&
    headers.name !== undefined &&
    headers.name === paramsOf(body)["name"] &&
    // It would be read as wrapped Base64.
    !headers.name.startsWith("=?");
  return isLiteral && messageKind === "request" ? { era: "modern", message } : null;
}

/**
 * Milliseconds after which the stream opens though nobody said that the call takes time: some clients count silence
 * from the start.
 */
const OPENS_AFTER_MS = 1_000;
const KEEP_ALIVE_MS = 15_000;

export interface DirectCallParts {
  /** What the call comes to; `takesTime` is told when that is not at once. */
  answer(request: JSONRPCRequest, ctx: CallContext, takesTime: () => void): Promise<Result>;
  /** What an answer of 2026-07-28 says of who gave it. */
  readonly self: Implementation;
  readonly keepAliveMs?: number;
}

/** Serves the call, and comes back when its answer is written or the other side has gone. */
export async function answerDirectly(
  call: DirectCall,
  response: ServerResponse,
  { answer, self, keepAliveMs = KEEP_ALIVE_MS }: DirectCallParts,
): Promise<void> {
  const exchange = createExchange(call, response, keepAliveMs);
  if (exchange.gone.aborted) return;
  const { request, ctx } = liftedFrom(call.message, {
    signal: exchange.gone,
    notify: (notification) => exchange.tell({ jsonrpc: "2.0", ...notification } as JSONRPCMessage),
  });
  const { id } = call.message;
  exchange.answer(
    await answer(request, ctx, exchange.open).then(
      // In the SDK's order: a client reads the same bytes over either transport.
      (result) => ({ result: call.era === "modern" ? stamped(result, self) : result, jsonrpc: "2.0", id }),
      (error: unknown) => ({ jsonrpc: "2.0", id, error: errorOf(error) }),
    ),
  );
}

/** What every result of 2026-07-28 says of itself. */
function stamped(result: Result, self: Implementation): Result {
  const meta = result["_meta"];
  const isStamped = meta !== undefined && (!isJsonObject(meta) || meta[SERVER_INFO_META_KEY] !== undefined);
  return {
    ...result,
    ...(result["resultType"] === undefined ? { resultType: "complete" } : {}),
    ...(isStamped ? {} : { _meta: { ...meta, [SERVER_INFO_META_KEY]: self } }),
  };
}

/** Of errors that are none of the protocol's nothing is told (P4). */
const errorOf = (error: unknown): { code: number; message: string; data?: unknown } =>
  error instanceof ProtocolError
    ? {
        code: error.code,
        message: error.message,
        ...(error.data === undefined ? {} : { data: error.data }),
      }
    : { code: ProtocolErrorCode.InternalError, message: "Internal error" };

/** The way back to whoever made the call. */
interface Exchange {
  /** Aborted when the other side has gone before its answer was written (W3). */
  readonly gone: AbortSignal;
  /** Opens the stream, where nothing has been written yet (W2). */
  open(): void;
  tell(message: JSONRPCMessage): Promise<void>;
  answer(message: JSONRPCMessage): void;
}

function createExchange(call: DirectCall, response: ServerResponse, keepAliveMs: number): Exchange {
  const leaving = new AbortController();
  let isStream = false;
  let isOver = false;
  let keepAlive: NodeJS.Timeout | undefined;

  const finish = (): void => {
    isOver = true;
    clearTimeout(opens);
    clearInterval(keepAlive);
  };
  const leave = (): void => {
    if (isOver) return;
    finish();
    leaving.abort();
  };
  const open = (): void => {
    if (isStream || isOver) return;
    isStream = true;
    clearTimeout(opens);
    response.writeHead(200, {
      "content-type": "text/event-stream",
      ...COMMON_HEADERS,
      connection: "keep-alive",
      "x-accel-buffering": "no",
    });
    response.flushHeaders();
    if (keepAliveMs < 1) return;
    keepAlive = setInterval(() => {
      if (!response.writableNeedDrain) response.write(": keepalive\n\n");
    }, keepAliveMs).unref();
  };
  const write = (message: JSONRPCMessage): void => {
    open();
    response.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
  };
  const opens = setTimeout(open, keepAliveMs >= 1 ? Math.min(OPENS_AFTER_MS, keepAliveMs) : OPENS_AFTER_MS);
  response.once("close", leave);
  if (response.destroyed) leave();

  return {
    gone: leaving.signal,
    open,
    tell(message) {
      // A client that does not read misses how it goes on, and gets the answer.
      if (!isOver && !(isStream && response.writableNeedDrain)) write(message);
      return Promise.resolve();
    },
    answer(message) {
      if (isOver) return;
      try {
        if (isStream) {
          write(message);
          response.end();
        } else {
          const body = JSON.stringify(message);
          response.writeHead(statusOf(call, message), {
            "content-type": "application/json",
            ...COMMON_HEADERS,
            "content-length": String(Buffer.byteLength(body)),
          });
          response.end(body);
        }
      } catch (error) {
        // Nobody is left waiting for what can't be written.
        response.destroy();
        throw error;
      } finally {
        finish();
      }
    },
  };
}

const MISSING_CAPABILITY = -32021;

/** An error that a handler gives is an answer; one of them has a status of its own (MCP 2026-07-28, Streamable HTTP). */
const statusOf = ({ era }: DirectCall, message: JSONRPCMessage): number =>
  era === "modern" && "error" in message && message.error.code === MISSING_CAPABILITY ? 400 : 200;
