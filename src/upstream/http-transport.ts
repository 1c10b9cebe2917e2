import {
  StreamableHTTPClientTransport,
  type JSONRPCMessage,
  type Transport,
  type TransportSendOptions,
} from "@modelcontextprotocol/client";
import { LOCAL, NotSent } from "./failure.ts";

// A server behind a URL: the SDK's transport, with bounded messages, and with an end for a call whose response stream
// breaks off, which the SDK would wait for until its time is up.

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
      if (id === null) return send(message, options);
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
    close: () => inner.close(),
  };
  return outer;
}

/** A redirect would take calls, and the headers that go with them, to an address that nobody registered. */
function notElsewhere(response: Response): Response {
  if (!REDIRECTS.has(response.status)) return response;
  void response.body?.cancel().catch(() => undefined);
  throw new NotSent(
    "upstream_refused",
    `the server answered HTTP ${response.status}, a redirect; register the address that it leads to`,
  );
}
const REDIRECTS = new Set([301, 302, 307, 308]);

export class TooLarge extends Error {
  override readonly name = "TooLarge";
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
        controller.error(new TooLarge(`the server sent more than ${limit} bytes in one message`));
      } else controller.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(count), {
    status: response.status,
    statusText: response.statusText,
    headers: response.headers,
  });
}
