import type { Context } from "hono";
import { problem, type Problem } from "./problem.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export type ReadBody =
  { readonly value: unknown; readonly bytes: Uint8Array } | { readonly problem: Problem };

/** The body, whole and within the limit; bytes that a lenient decoder would change are refused. */
export async function readJson(c: Context, limit: number): Promise<ReadBody> {
  const type = (c.req.header("content-type") ?? "").split(";")[0]?.trim().toLowerCase();
  // Also what makes a form of another page fail: a browser sends this type across origins only after asking us.
  if (type !== "application/json") return { problem: problem("wrong_media_type") };
  if ((c.req.header("content-encoding") ?? "identity") !== "identity") {
    return { problem: problem("wrong_media_type", "content-encoding is not served") };
  }
  if (Number(c.req.header("content-length") ?? 0) > limit) return { problem: problem("too_large") };
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (c.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > limit) return { problem: problem("too_large") };
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  try {
    return { value: JSON.parse(decoder.decode(bytes)), bytes };
  } catch {
    return { problem: problem("bad_request", "the body is not JSON in UTF-8") };
  }
}
