import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";
import { readEvents } from "../../src/transport/mcp/sse.ts";

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: Record<string, unknown>;
  /** Milliseconds until the first byte of the answer. */
  readonly firstByteMs: number;
}

export interface RawRequest {
  readonly port: number;
  readonly host?: string;
  readonly method?: string;
  readonly path?: string;
  /** An undefined value leaves the header out. */
  readonly headers?: Record<string, string | undefined>;
  readonly body?: string | Uint8Array;
  readonly signal?: AbortSignal;
}

/** One request with exactly these headers: fetch would not send a Host of our choice. */
export function rawHttp(options: RawRequest): Promise<RawAnswer> {
  const headers = Object.fromEntries(
    Object.entries({ host: `127.0.0.1:${options.port}`, ...options.headers }).filter(
      ([, value]) => value !== undefined,
    ),
  ) as Record<string, string>;
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      {
        host: options.host ?? "127.0.0.1",
        port: options.port,
        method: options.method ?? "POST",
        path: options.path ?? "/mcp",
        headers,
        setHost: false,
        agent: false,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      },
      (response) => {
        const firstByteMs = performance.now() - started;
        void (async () => {
          const chunks: Buffer[] = [];
          for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
          const text = Buffer.concat(chunks).toString();
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: parse(text),
            firstByteMs,
          });
        })().catch(reject);
      },
    );
    request.on("error", reject);
    request.end(options.body);
  });
}

const parse = (text: string): Record<string, unknown> => {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
};

/** The messages of a streamed answer, in order. */
export async function messagesOf(answer: RawAnswer): Promise<Record<string, unknown>[]> {
  if (!String(answer.headers["content-type"]).startsWith("text/event-stream")) return [answer.json];
  const { Readable } = await import("node:stream");
  const messages: Record<string, unknown>[] = [];
  for await (const data of readEvents(Readable.from([Buffer.from(answer.text)]))) {
    messages.push(JSON.parse(data) as Record<string, unknown>);
  }
  return messages;
}

/** Sends bytes as they are and gives what came back before the other side closed. */
export function rawTcp(port: number, bytes: string, host = "127.0.0.1"): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host, () => socket.write(bytes));
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("close", () => resolve(text));
    socket.on("error", (error) => (text === "" ? reject(error) : resolve(text)));
    socket.setTimeout(5_000, () => socket.destroy());
  });
}
