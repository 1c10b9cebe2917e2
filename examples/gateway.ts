import { Client, StreamableHTTPClientTransport, type CallToolResult } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { fileURLToPath } from "node:url";

// How the examples reach a gateway: over HTTP where COUNTERSIGN_URL and COUNTERSIGN_TOKEN say where, else by starting
// the stdio command on the home that COUNTERSIGN_HOME names.

export type Place =
  | { readonly kind: "http"; readonly url: URL; readonly headers: Record<string, string> }
  | { readonly kind: "stdio"; readonly command: string; readonly args: readonly string[] };

export function place(): Place {
  const { COUNTERSIGN_URL: url, COUNTERSIGN_TOKEN: token, COUNTERSIGN_HOME: home } = process.env;
  if (url !== undefined && token !== undefined) {
    return { kind: "http", url: new URL(url), headers: { authorization: `Bearer ${token}` } };
  }
  if (home === undefined) {
    throw new Error(
      "set COUNTERSIGN_URL and COUNTERSIGN_TOKEN, or COUNTERSIGN_HOME; `npm start` prints them",
    );
  }
  const program = fileURLToPath(new URL("../dist/countersign.js", import.meta.url));
  const agent = process.env["COUNTERSIGN_AGENT"] ?? "demo-agent";
  return {
    kind: "stdio",
    command: process.execPath,
    args: [program, "mcp", "--home", home, "--agent", agent],
  };
}

/** A connected client that speaks the newest protocol revision the gateway has. */
export async function connect(name: string): Promise<Client> {
  const client = new Client({ name, version: "1.0.0" }, { versionNegotiation: { mode: "auto" } });
  const at = place();
  await client.connect(
    at.kind === "http"
      ? new StreamableHTTPClientTransport(at.url, { requestInit: { headers: at.headers } })
      : new StdioClientTransport({ command: at.command, args: [...at.args], stderr: "inherit" }),
  );
  return client;
}

/** What the examples ask for: the demo's own service, or what COUNTERSIGN_EXAMPLE_ARGS holds as JSON. */
export function deployment(justification: string): Record<string, unknown> {
  const given = process.env["COUNTERSIGN_EXAMPLE_ARGS"] ?? '{"service":"shop","ref":"main"}';
  return { ...(JSON.parse(given) as Record<string, unknown>), justification };
}

/** A tool result as countersign makes it. */
export interface Outcome {
  readonly status: "done" | "pending" | "refused" | "failed" | "unknown";
  readonly requestId?: string;
  readonly ticket?: string;
  readonly requestCode?: string;
}

export const outcomeOf = (result: CallToolResult): Outcome => result.structuredContent as unknown as Outcome;

/** The text of a result, for people and models. */
export const textOf = (result: CallToolResult): string =>
  result.content.map((block) => (block.type === "text" ? block.text : `[${block.type}]`)).join("\n");
