import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { CountersignError } from "../../errors.ts";

export interface Listening {
  readonly host: string;
  /** The real port, also where 0 was asked for. */
  readonly port: number;
  /** Stops accepting, waits up to `graceMs` for open answers, then breaks the rest off. */
  close(graceMs: number): Promise<void>;
}

export interface ListenParts {
  /** `localhost` opens every loopback address, so that nobody else can take one of them. */
  readonly host: string;
  readonly port: number;
  /** What the listener is for, and the setting that moves it: both stand in the error. */
  readonly what: string;
  readonly setting: string;
  handle(request: IncomingMessage, response: ServerResponse): void;
  /** How many connections may be open at once; default 512. */
  readonly maxConnections?: number;
  /** Milliseconds to receive the headers, and the whole request. An answer may take as long as people do. */
  readonly timeouts?: { readonly headersMs: number; readonly requestMs: number };
}

const TIMEOUTS = { headersMs: 10_000, requestMs: 30_000 } as const;

/**
 * Opens an HTTP listener whose slow or silent clients cannot hold it.
 * @throws CountersignError `LISTEN_FAILED`
 */
export async function listen(parts: ListenParts): Promise<Listening> {
  const addresses = parts.host === "localhost" ? ["127.0.0.1", "::1"] : [parts.host];
  const servers: Server[] = [];
  let port = parts.port;
  try {
    for (const address of addresses) {
      const server = create(parts);
      try {
        port = await open(server, address, port);
        servers.push(server);
      } catch (cause) {
        // A machine without IPv6 has no ::1 that anyone could take.
        if (address === "::1" && isMissingAddress(cause)) continue;
        throw failure(parts, address, port, cause);
      }
    }
  } catch (error) {
    await Promise.all(servers.map((server) => stop(server, 0)));
    throw error;
  }
  return {
    host: parts.host,
    port,
    close: async (graceMs) => {
      await Promise.all(servers.map((server) => stop(server, graceMs)));
    },
  };
}

function create(parts: ListenParts): Server {
  const { headersMs, requestMs } = parts.timeouts ?? TIMEOUTS;
  const server = createServer(
    {
      maxHeaderSize: 16 * 1024,
      headersTimeout: headersMs,
      requestTimeout: requestMs,
      keepAliveTimeout: 30_000,
      connectionsCheckingInterval: Math.min(5_000, headersMs),
      // Our own check answers in our own words, and counts.
      requireHostHeader: false,
    },
    (request, response) => parts.handle(request, response),
  );
  server.maxConnections = parts.maxConnections ?? 512;
  server.on("clientError", (_error, socket) => {
    if (socket.writable)
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    else socket.destroy();
  });
  return server;
}

function open(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, exclusive: true }, () => {
      server.removeListener("error", reject);
      resolve((server.address() as AddressInfo).port);
    });
  });
}

function stop(server: Server, graceMs: number): Promise<void> {
  return new Promise((resolve) => {
    const hurry = setTimeout(() => server.closeAllConnections(), graceMs);
    // A kept connection becomes idle only when its last answer has gone out.
    const sweep = setInterval(() => server.closeIdleConnections(), 20);
    server.close(() => {
      clearTimeout(hurry);
      clearInterval(sweep);
      resolve();
    });
    server.closeIdleConnections();
  });
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? "";

const isMissingAddress = (error: unknown): boolean =>
  ["EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL"].includes(codeOf(error));

function failure(parts: ListenParts, address: string, port: number, cause: unknown): CountersignError {
  const code = codeOf(cause);
  const why =
    code === "EADDRINUSE"
      ? "is taken by another process"
      : code === "EACCES"
        ? "is not ours to open"
        : `failed (${code})`;
  return new CountersignError("LISTEN_FAILED", `${parts.what}: ${address} port ${port} ${why}`, {
    hint:
      code === "EADDRINUSE"
        ? `if that is this home's gateway, it is running already; else set another port: ${parts.setting}`
        : `set another host or port: ${parts.setting}`,
    cause,
    details: { host: address, port },
  });
}
