import { once } from "node:events";
import { createServer, request as ask } from "node:http";
import type { AddressInfo } from "node:net";

// The suite can't send a token, and the gateway serves nobody without one. This stands between them and adds it.
//
// Host and Origin are what `dns-rebinding-protection` is about, so they are passed on as they came. Only the proxy's
// own name becomes the gateway's: the suite reached the right door, and the gateway may not know of this one.

export interface TokenProxy {
  readonly url: string;
  close(): Promise<void>;
}

export async function startTokenProxy(target: string, token: string): Promise<TokenProxy> {
  const { hostname, port, host, pathname } = new URL(target);
  const server = createServer((request, response) => {
    const own = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const raw = request.rawHeaders.map((value, i) => {
      if (i % 2 === 0) return value;
      const name = request.rawHeaders[i - 1]?.toLowerCase();
      if (name === "host" && value === own) return host;
      return name === "origin" && value === `http://${own}` ? `http://${host}` : value;
    });
    const onward = ask(
      {
        hostname,
        port,
        path: request.url,
        method: request.method,
        headers: [...raw, "authorization", `Bearer ${token}`],
        setHost: false,
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        response.flushHeaders();
        answer.pipe(response);
      },
    );
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${pathname}`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
