// A client from before 2026-07-28, on the first MCP SDK: nothing about it needs to change.
import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { CallToolResult } from "@modelcontextprotocol/client";
import { deployment, outcomeOf, place, textOf } from "../gateway.ts";

const client = new Client({ name: "example-old-client", version: "1.0.0" });
const at = place();
const transport =
  at.kind === "http"
    ? new StreamableHTTPClientTransport(at.url, { requestInit: { headers: at.headers } })
    : new StdioClientTransport({ command: at.command, args: [...at.args], stderr: "inherit" });
await client.connect(transport as Parameters<Client["connect"]>[0]);
await client.listTools();

const call = async (name: string, args: Record<string, unknown>): Promise<CallToolResult> =>
  (await client.callTool({ name, arguments: args })) as CallToolResult;

let result = await call("deploy_service", deployment("an old client can deploy as well"));
console.log(textOf(result));
for (let outcome = outcomeOf(result); outcome.status === "pending"; outcome = outcomeOf(result)) {
  result = await call("countersign_wait", { ticket: outcome.ticket });
  console.log(textOf(result));
}
await client.close();

assert.equal(outcomeOf(result).status, "done");
