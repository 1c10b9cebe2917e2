import {
  classifyInboundRequest,
  PerRequestHTTPServerTransport,
  PROTOCOL_VERSION_META_KEY,
  SUPPORTED_PROTOCOL_VERSIONS,
  type InboundClassificationOutcome,
  type JSONRPCMessage,
  type JSONRPCRequest,
  type MessageClassification,
  type Server,
  type TransportSendOptions,
} from "@modelcontextprotocol/server";
import type { IncomingMessage, ServerResponse } from "node:http";
import { COMMON_HEADERS } from "../http/answer.ts";
import { metaOf, paramsOf, type Message } from "./message.ts";
import { MODERN_REVISION } from "./names.ts";

// A `tools/call` over HTTP without the SDK's web requests, responses and streams, which cost more than the call's own
// checks. Its server, with the era's rules and the encoding of results, is the same.
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
  /** Of a modern call. */
  readonly classification?: MessageClassification;
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
  return isLiteral && messageKind === "request" ? { era: "modern", message, classification } : null;
}

/**
 * Milliseconds after which the stream opens though nobody said that the call takes time: some clients count silence
 * from the start.
 */
const OPENS_AFTER_MS = 1_000;
const KEEP_ALIVE_MS = 15_000;

/** Serves the call, and comes back when its answer is written or the other side has gone. */
export async function answerDirectly(
  call: DirectCall,
  response: ServerResponse,
  serverFor: (takesTime: () => void) => Server,
  keepAliveMs: number = KEEP_ALIVE_MS,
): Promise<void> {
  const exchange = new Exchange(call, response, keepAliveMs);
  await serverFor(() => exchange.open()).connect(exchange);
  if (response.destroyed) await exchange.close();
  else exchange.serve();
  await exchange.over;
}

// The SDK binds a server to the modern era for transports of this class only.
class Exchange extends PerRequestHTTPServerTransport {
  readonly over: Promise<void>;
  readonly #call: DirectCall;
  readonly #response: ServerResponse;
  readonly #keepAliveMs: number;
  #end: () => void = () => undefined;
  #opens: NodeJS.Timeout | undefined;
  #keepAlive: NodeJS.Timeout | undefined;
  #isStream = false;
  #isOver = false;

  constructor(call: DirectCall, response: ServerResponse, keepAliveMs: number) {
    super({ classification: call.classification ?? { era: "legacy" } });
    this.#call = call;
    this.#response = response;
    this.#keepAliveMs = keepAliveMs;
    this.over = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  serve(): void {
    const { message, classification } = this.#call;
    // W3
    this.#response.once("close", () => void this.close());
    const canBeat = this.#keepAliveMs >= 1;
    const opensAfterMs = canBeat ? Math.min(OPENS_AFTER_MS, this.#keepAliveMs) : OPENS_AFTER_MS;
    this.#opens = setTimeout(() => this.open(), opensAfterMs);
    this.onmessage?.(message, classification === undefined ? {} : { classification });
  }

  override send(message: JSONRPCMessage, options?: TransportSendOptions): Promise<void> {
    const isAnswer = !("method" in message);
    const about = isAnswer ? message.id : options?.relatedRequestId;
    if (this.#isOver || about !== this.#call.message.id) return Promise.resolve();
    try {
      if (isAnswer) this.#answer(message);
      // A client that does not read misses how it goes on, and gets the answer.
      else if (!this.#isStream || !this.#response.writableNeedDrain) this.#write(message);
      return Promise.resolve();
    } catch (error) {
      // Nobody is left waiting for what can't be written.
      this.#response.destroy();
      return Promise.reject(error as Error);
    }
  }

  override close(): Promise<void> {
    if (!this.#isOver) {
      this.#finish();
      this.onclose?.();
    }
    return Promise.resolve();
  }

  #answer(message: JSONRPCMessage): void {
    if (this.#isStream) {
      this.#write(message);
      this.#response.end();
    } else {
      const body = JSON.stringify(message);
      this.#response.writeHead(statusOf(this.#call, message), {
        "content-type": "application/json",
        ...COMMON_HEADERS,
        "content-length": String(Buffer.byteLength(body)),
      });
      this.#response.end(body);
    }
    this.#finish();
  }

  #write(message: JSONRPCMessage): void {
    this.open();
    this.#response.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
  }

  open(): void {
    if (this.#isStream || this.#isOver) return;
    this.#isStream = true;
    clearTimeout(this.#opens);
    this.#response.writeHead(200, {
      "content-type": "text/event-stream",
      ...COMMON_HEADERS,
      connection: "keep-alive",
      "x-accel-buffering": "no",
    });
    this.#response.flushHeaders();
    if (this.#keepAliveMs < 1) return;
    this.#keepAlive = setInterval(() => {
      if (!this.#response.writableNeedDrain) this.#response.write(": keepalive\n\n");
    }, this.#keepAliveMs).unref();
  }

  #finish(): void {
    this.#isOver = true;
    clearTimeout(this.#opens);
    clearInterval(this.#keepAlive);
    this.#end();
  }
}

const MISSING_CAPABILITY = -32021;

/** An error that a handler gives is an answer; one of them has a status of its own (MCP 2026-07-28, Streamable HTTP). */
const statusOf = ({ era }: DirectCall, message: JSONRPCMessage): number =>
  era === "modern" && "error" in message && message.error.code === MISSING_CAPABILITY ? 400 : 200;
