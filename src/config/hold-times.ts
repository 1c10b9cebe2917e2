// How long a call may be held before its client gives up on it, and what that rests on. A client is named by what it
// says of itself, so nothing else may depend on it (P2): a wrong name costs its own call, and a ticket finds the request.

/**
 * Where nothing better is known. 60 s is the default timeout of the official SDKs of both eras and of what is built on
 * them (OpenAI Agents, a round each), and what hosted connectors and Claude Desktop are said to allow.
 */
export const DEFAULT_HOLD_MS = 40_000;

/**
 * Longer ones, by `clientInfo.name`, each with what was tried. Add a name only after a call that was held for longer
 * came back whole, on every transport that the client has, without progress: not every call carries a token for it.
 */
export const PROVEN_HOLDS: Readonly<Record<string, number>> = {
  // Claude Code 2.1.330: stdio held 400 s without progress; HTTP, with the stream open at once, is cut at 300 s without
  // a byte of MCP (`CLAUDE_CODE_MCP_TOOL_IDLE_TIMEOUT`), and held 400 s with progress.
  "claude-code": 240_000,
};

/**
 * Rounds before the ticket. Both official clients and OpenAI Agents stop at the tenth `input_required` in a row; one is
 * left so that the last answer is ours and not their error.
 */
export const MOST_ROUNDS = 9;
