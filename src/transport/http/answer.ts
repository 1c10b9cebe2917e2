import type { IncomingMessage, ServerResponse } from "node:http";

/** Headers of every answer, whatever it is about: nothing of a gateway belongs in a cache or a frame. */
export const COMMON_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "x-frame-options": "DENY",
  "permissions-policy":
    "camera=(), geolocation=(), microphone=(), payment=(), usb=(), publickey-credentials-get=(self), publickey-credentials-create=(self)",
};

/** Sends one JSON document. */
export function answerJson(
  response: ServerResponse,
  status: number,
  document: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  const body = JSON.stringify(document);
  response.writeHead(status, {
    "content-type": "application/json",
    ...COMMON_HEADERS,
    ...headers,
    "content-length": String(Buffer.byteLength(body)),
  });
  response.end(body);
}

/**
 * The web-standard request of a Node request whose body was read already, without its credentials: whoever is behind
 * the door has no use for a token. Aborts when the client goes away.
 */
export function toWebRequest(
  request: IncomingMessage,
  response: ServerResponse,
  host: string,
  body: Uint8Array | null,
): Request {
  const gone = new AbortController();
  response.on("close", () => {
    if (!response.writableFinished) gone.abort();
  });
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (name === "authorization") continue;
    if (typeof value === "string") headers.set(name, value);
    else for (const item of value ?? []) headers.append(name, item);
  }
  return new Request(`http://${host}${request.url ?? "/"}`, {
    method: request.method ?? "GET",
    headers,
    signal: gone.signal,
    ...(body === null ? {} : { body: new Uint8Array(body) }),
  });
}

/** Milliseconds after which headers leave alone: some clients count silence from the start. */
const HEADERS_WAIT_MS = 20;

/**
 * Writes a web-standard response, streams included. What comes in the first moment leaves together: an answer that is
 * there at once is one write to the socket, and not three.
 */
export async function answerWeb(response: ServerResponse, web: Response): Promise<void> {
  if (response.destroyed) {
    await web.body?.cancel();
    return;
  }
  response.writeHead(web.status, { ...Object.fromEntries(web.headers), ...COMMON_HEADERS });
  if (web.body === null) {
    response.end();
    return;
  }
  response.cork();
  const open = setTimeout(() => {
    response.flushHeaders();
    response.uncork();
  }, HEADERS_WAIT_MS);
  const reader = web.body.getReader();
  const gone = new Promise<void>((resolve) => response.once("close", resolve));
  response.once("close", () => void reader.cancel().catch(() => undefined));
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || response.destroyed) break;
      if (!response.write(value)) {
        await Promise.race([new Promise<void>((resolve) => response.once("drain", resolve)), gone]);
      }
    }
  } finally {
    clearTimeout(open);
  }
  response.end();
}
