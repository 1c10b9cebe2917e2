import type { IncomingMessage } from "node:http";

export type Body =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly why: "too_large" | "broken_off" };

/** Reads a request's body up to `limit` bytes. What is beyond is read and thrown away, never kept. */
export async function readBody(request: IncomingMessage, limit: number): Promise<Body> {
  const announced = Number(request.headers["content-length"] ?? 0);
  if (announced > limit) return refuse(request);
  const chunks: Buffer[] = [];
  let size = 0;
  return new Promise((resolve) => {
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= limit) chunks.push(chunk);
      else {
        request.removeAllListeners("data");
        resolve(refuse(request));
      }
    });
    request.on("end", () => resolve({ ok: true, bytes: Buffer.concat(chunks) }));
    request.on("error", () => resolve({ ok: false, why: "broken_off" }));
    request.on("close", () => resolve({ ok: false, why: "broken_off" }));
  });
}

/** How much of a refused body is still taken in, so that the sender gets to read the refusal instead of a reset. */
const DRAIN_BYTES = 32 * 1024 * 1024;

function refuse(request: IncomingMessage): Body {
  let drained = 0;
  request.on("data", (chunk: Buffer) => {
    drained += chunk.length;
    if (drained > DRAIN_BYTES) request.destroy();
  });
  request.on("error", () => undefined);
  return { ok: false, why: "too_large" };
}
