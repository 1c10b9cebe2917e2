import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";

// A bare server of the same SDK, for the bench of cold starts: what any MCP server over stdio pays at least.

serveStdio(() => new McpServer({ name: "bare", version: "1.0.0" }, { capabilities: { tools: {} } }));
