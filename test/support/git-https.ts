import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/** A real git server over TLS on loopback: git's own http-backend behind Node, with a password. */
export interface GitHttps {
  readonly url: string;
  /** File of the certificate authority. */
  readonly ca: string;
  /** Paths that were asked for with the right password, and how many were asked without it. */
  readonly seen: { readonly allowed: string[]; refused: number };
  /** Answers every request with a redirect to this URL from now on. */
  redirectTo(url: string): void;
  close(): Promise<void>;
}

export async function startGitHttps(dir: string, projectRoot: string, password: string): Promise<GitHttps> {
  const key = join(dir, "key.pem");
  const ca = join(dir, "ca.pem");
  execFileSync(
    "openssl",
    [
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-days",
      "2",
      "-subj",
      "/CN=localhost",
      "-addext",
      "subjectAltName=DNS:localhost",
      "-keyout",
      key,
      "-out",
      ca,
    ],
    { stdio: "pipe" },
  );
  const expected = `Basic ${Buffer.from(`x-access-token:${password}`).toString("base64")}`;
  const seen = { allowed: [] as string[], refused: 0 };
  let redirect: string | undefined;
  const server: Server = createServer(
    { key: readFileSync(key), cert: readFileSync(ca) },
    (request, response) => {
      if (request.headers.authorization !== expected) {
        seen.refused += 1;
        response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end();
        return;
      }
      if (redirect !== undefined) {
        response.writeHead(301, { location: redirect + (request.url ?? "") }).end();
        return;
      }
      const url = new URL(request.url ?? "/", "https://localhost");
      seen.allowed.push(url.pathname);
      const backend = spawn("git", ["-c", "safe.directory=*", "http-backend"], {
        env: {
          PATH: "/usr/bin:/bin",
          GIT_PROJECT_ROOT: projectRoot,
          GIT_HTTP_EXPORT_ALL: "1",
          GIT_CONFIG_NOSYSTEM: "1",
          PATH_INFO: decodeURIComponent(url.pathname),
          QUERY_STRING: url.search.slice(1),
          REQUEST_METHOD: request.method ?? "GET",
          CONTENT_TYPE: request.headers["content-type"] ?? "",
          HTTP_CONTENT_ENCODING: request.headers["content-encoding"] ?? "",
          GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
        },
      });
      request.pipe(backend.stdin);
      const out: Buffer[] = [];
      backend.stdout.on("data", (chunk: Buffer) => out.push(chunk));
      backend.on("close", () => {
        const all = Buffer.concat(out);
        const end = all.indexOf("\r\n\r\n");
        const headers = all
          .subarray(0, end)
          .toString("latin1")
          .split("\r\n")
          .map((line) => line.split(/: (.*)/s));
        const status = headers.find(([name]) => name === "Status")?.[1];
        response.statusCode = status === undefined ? 200 : Number(status.slice(0, 3));
        for (const [name, value] of headers)
          if (name !== "Status" && value !== undefined) response.setHeader(name ?? "", value);
        response.end(all.subarray(end + 4));
      });
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    ca,
    seen,
    redirectTo: (url) => (redirect = url),
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
