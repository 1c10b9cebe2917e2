import {
  StreamableHTTPClientTransport,
  type JSONRPCMessage,
  type JSONRPCRequest,
  type Transport,
  type TransportSendOptions,
} from "@modelcontextprotocol/client";
import { encodeHeader } from "../request/param-headers.ts";
import { TooLarge } from "./event-stream.ts";
import { LOCAL, redirectIn } from "./failure.ts";
import { createHttpExchanges, revisionOf } from "./http-exchange.ts";

// A server behind a URL: the SDK's transport, with bounded messages, and with an end for a call whose response stream
// breaks off, which the SDK would wait for until its time is up. What is sent with every call goes past it.

export interface HttpTransportParts {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly maxMessageBytes: number;
}

export function createHttpTransport(parts: HttpTransportParts): Transport {
  const inner = new StreamableHTTPClientTransport(new URL(parts.url), {
    requestInit: { headers: { ...parts.headers } },
    fetch: async (url, init) =>
      bounded(notElsewhere(await fetch(url, { ...init, redirect: "manual" })), parts.maxMessageBytes),
  });
  const send = inner.send.bind(inner) as (
    message: JSONRPCMessage,
    options?: TransportSendOptions,
  ) => Promise<void>;
  const open = new Set<string | number>();
  const exchanges = createHttpExchanges({ ...parts, url: new URL(parts.url) });
  const headersOf = (message: JSONRPCRequest, given: TransportSendOptions["headers"]) => {
    const revision = revisionOf(message);
    const version = revision ?? inner.protocolVersion;
    const name = message.params?.["name"];
    return {
      ...Object.fromEntries(Object.entries(given ?? {}).filter(([header]) => PARAM_HEADER.test(header))),
      ...(inner.sessionId === undefined ? {} : { "mcp-session-id": inner.sessionId }),
      ...(version === undefined ? {} : { "mcp-protocol-version": version }),
      ...(revision === null ? {} : { "mcp-method": message.method }),
      ...(revision === null || typeof name !== "string" ? {} : { "mcp-name": encodeHeader(name) }),
    };
  };
  const outer: Transport = {
    hasPerRequestStream: true,
    get sessionId() {
      return inner.sessionId;
    },
    setProtocolVersion: (version) => inner.setProtocolVersion(version),
    start() {
      inner.onmessage = (message) => {
        if (!("method" in message) && message.id !== undefined) open.delete(message.id);
        outer.onmessage?.(message);
      };
      inner.onerror = (error) => outer.onerror?.(error);
      inner.onclose = () => outer.onclose?.();
      return inner.start();
    },
    async send(message, options) {
      const id = "method" in message && "id" in message ? message.id : null;
      if (id === null) {
        const told = send(message, options);
        if ("method" in message && message.method === CANCELLED) {
          // Whether the server hears of it or not: what it answers all the same is of no use.
          await Promise.race([told.catch(() => undefined), pause(GOODBYE_MS)]);
          exchanges.drop(message.params?.["requestId"]);
        }
        await told;
        return;
      }
      if ("method" in message && "id" in message && OFTEN.has(message.method)) {
        return exchanges.run({
          message,
          headers: headersOf(message, options?.headers),
          signal: options?.requestSignal,
          deliver: (reply) => outer.onmessage?.(reply),
          onerror: (error) => outer.onerror?.(error),
        });
      }
      open.add(id);
      const ended = (): void => {
        options?.onRequestStreamEnd?.();
        if (!open.delete(id)) return;
        const text = "the response stream ended before the reply";
        outer.onmessage?.({ jsonrpc: "2.0", id, error: { code: LOCAL.lost, message: text } });
      };
      try {
        await send(message, { ...options, onRequestStreamEnd: ended });
      } catch (error) {
        open.delete(id);
        throw error;
      }
    },
    async close() {
      exchanges.close();
      // A session that is left behind is the server's to keep until it forgets it (MCP 2025-11-25, Session Management).
      if (inner.sessionId !== undefined) {
        await Promise.race([inner.terminateSession().catch(() => undefined), pause(GOODBYE_MS)]);
      }
      await inner.close();
    },
  };
  return outer;
}

const GOODBYE_MS = 1_000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref());

/** What a call needs: itself, and the list that it rests on. */
const OFTEN: ReadonlySet<string> = new Set(["tools/call", "tools/list"]);
const CANCELLED = "notifications/cancelled";
/** The only headers that a call brings along. */
const PARAM_HEADER = /^mcp-param-/i;

/** A redirect would take calls, and the headers that go with them, to an address that nobody registered. */
function notElsewhere(response: Response): Response {
  const redirect = redirectIn(response.status);
  if (redirect === null) return response;
  void response.body?.cancel().catch(() => undefined);
  throw redirect;
}

/** A body that ends in an error above the limit. Of an event stream each event counts for itself. */
function bounded(response: Response, limit: number): Response {
  if (response.body === null) return response;
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") === true;
  let size = 0;
  let last = 0;
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      size += chunk.length;
      if (isStream) {
        for (let i = 0; i < chunk.length; i += 1) {
          const byte = chunk[i] as number;
          if (byte === 0x0a && last === 0x0a) size = chunk.length - i;
          if (byte !== 0x0d) last = byte;
        }
      }
      if (size > limit) {
        controller.error(new TooLarge(limit));
      } else controller.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(count), {
    status: response.status,
    statusText: response.statusText,
    headers: response.headers,
  });
}
