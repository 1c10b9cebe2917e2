/** Set by the stdio shim from its own `--agent` flag; the listener believes it for the local token only. */
export const AGENT_HEADER = "countersign-agent";

/** The only path of the MCP listener. */
export const MCP_PATH = "/mcp";
/** JSON-RPC error of 2026-07-28 for headers that do not say what the body says. */
export const HEADER_MISMATCH = -32_020;
