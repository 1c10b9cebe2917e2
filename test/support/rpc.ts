/** Raw JSON-RPC messages of both protocol eras, as clients that we did not write send them. */

export const legacyInitialize = (id: number, version = "2025-11-25"): object => ({
  jsonrpc: "2.0",
  id,
  method: "initialize",
  params: { protocolVersion: version, capabilities: {}, clientInfo: { name: "raw", version: "1.2.3" } },
});

export const legacyRequest = (id: number | string, method: string, params: object = {}): object => ({
  jsonrpc: "2.0",
  id,
  method,
  params,
});

export const envelope = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientInfo": { name: "raw", version: "1.2.3" },
  "io.modelcontextprotocol/clientCapabilities": {},
};

export const modernRequest = (
  id: number | string,
  method: string,
  params: Readonly<Record<string, unknown>> = {},
): object => ({
  jsonrpc: "2.0",
  id,
  method,
  params: { ...params, _meta: { ...envelope, ...(params["_meta"] as object | undefined) } },
});

export const notification = (method: string, params: object = {}): object => ({
  jsonrpc: "2.0",
  method,
  params,
});

/** Ids of ours become `req_1`, `req_2`…, so that a transcript reads the same every time. */
export function stable(text: string): string {
  const seen = new Map<string, string>();
  return text.replace(/req_[0-9A-HJKMNP-TV-Z]{26}/g, (id) => {
    const name = seen.get(id) ?? `req_${seen.size + 1}`;
    seen.set(id, name);
    return name;
  });
}
