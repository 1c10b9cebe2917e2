import {
  Client as ModernClient,
  StreamableHTTPClientTransport as ModernHttp,
} from "@modelcontextprotocol/client";
import { StdioClientTransport as ModernStdio } from "@modelcontextprotocol/client/stdio";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as OldStdio } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as OldHttp } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

// Real MCP clients behind one small face: what a host does with them, and nothing that a host could not do.

export type Endpoint =
  | {
      readonly kind: "stdio";
      readonly command: string;
      readonly args: readonly string[];
      readonly env?: Record<string, string>;
    }
  | { readonly kind: "http"; readonly url: string; readonly token: string };

export interface ToolResult {
  readonly isError: boolean;
  readonly text: string;
  readonly data: Record<string, unknown>;
}

export interface CallOptions {
  /** The client's own limit; it cancels the request and rejects. */
  readonly timeoutMs?: number;
  readonly onProgress?: (progress: { progress: number; message?: string | undefined }) => void;
  readonly meta?: Record<string, unknown>;
}

export interface TestClient {
  tools(): Promise<
    readonly { name: string; inputSchema: unknown; outputSchema?: unknown; annotations?: unknown }[]
  >;
  call(tool: string, args: Record<string, unknown>, options?: CallOptions): Promise<ToolResult>;
  /** The revision that client and server settled on; undefined where the client does not tell. */
  readonly protocolVersion: string | undefined;
  close(): Promise<void>;
}

export interface ClientKind {
  readonly name: string;
  readonly over: "stdio" | "http";
  readonly era: "legacy" | "modern";
  connect(endpoint: Endpoint): Promise<TestClient>;
}

const INFO = { name: "countersign-test", version: "1.0.0" };

export function toolResult(value: unknown): ToolResult {
  const result = value as {
    isError?: boolean;
    content: { type: string; text: string }[];
    structuredContent?: Record<string, unknown>;
  };
  return {
    isError: result.isError === true,
    text: result.content.map((block) => block.text).join("\n"),
    data: result.structuredContent ?? {},
  };
}

type AnyClient = Pick<ModernClient, "listTools" | "close"> & {
  callTool(params: never, ...rest: never[]): Promise<unknown>;
};

function face(
  client: AnyClient,
  call: (params: object, options: object) => Promise<unknown>,
  version?: string,
): TestClient {
  return {
    protocolVersion: version,
    tools: async () => (await client.listTools()).tools,
    async call(tool, args, options = {}) {
      return toolResult(
        await call(
          { name: tool, arguments: args, ...(options.meta === undefined ? {} : { _meta: options.meta }) },
          {
            timeout: options.timeoutMs ?? 30_000,
            ...(options.onProgress === undefined
              ? {}
              : { onprogress: options.onProgress, resetTimeoutOnProgress: true }),
          },
        ),
      );
    },
    close: () => client.close(),
  };
}

async function connectOld(endpoint: Endpoint, sessions: boolean): Promise<TestClient> {
  const client = new OldClient(INFO);
  const transport =
    endpoint.kind === "stdio"
      ? new OldStdio({
          command: endpoint.command,
          args: [...endpoint.args],
          env: environment(endpoint.env),
          stderr: "inherit",
        })
      : new OldHttp(new URL(endpoint.url), {
          requestInit: { headers: { authorization: `Bearer ${endpoint.token}` } },
          ...(sessions ? {} : { fetch: withoutSession }),
        });
  // The old SDK's types predate exactOptionalPropertyTypes.
  await client.connect(transport as Parameters<OldClient["connect"]>[0]);
  // Listing first lets the client check results against the published schemas, as hosts do.
  await client.listTools();
  const version = (transport as { protocolVersion?: string }).protocolVersion;
  return face(
    client as unknown as AnyClient,
    (params, options) => client.callTool(params as never, undefined, options),
    version,
  );
}

/** A client that drops the session id, as some stateless ones do. */
const withoutSession = async (input: string | URL, init?: RequestInit): Promise<Response> => {
  const response = await fetch(input, init);
  const headers = new Headers(response.headers);
  headers.delete("mcp-session-id");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
};

async function connectModern(endpoint: Endpoint, mode: "legacy" | "auto"): Promise<TestClient> {
  const client = new ModernClient(INFO, { versionNegotiation: { mode } });
  const transport =
    endpoint.kind === "stdio"
      ? new ModernStdio({
          command: endpoint.command,
          args: [...endpoint.args],
          env: environment(endpoint.env),
          stderr: "inherit",
        })
      : new ModernHttp(new URL(endpoint.url), {
          requestInit: { headers: { authorization: `Bearer ${endpoint.token}` } },
        });
  await client.connect(transport);
  await client.listTools();
  return face(
    client as unknown as AnyClient,
    (params, options) => client.callTool(params as never, options),
    client.getNegotiatedProtocolVersion(),
  );
}

export const environment = (extra: Record<string, string> = {}): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "",
  HOME: process.env["HOME"] ?? "",
  ...extra,
});

/** Every client and transport that the gateway promises to serve. */
export const CLIENT_KINDS: readonly ClientKind[] = [
  {
    name: "v1 SDK over stdio",
    over: "stdio",
    era: "legacy",
    connect: (endpoint) => connectOld(endpoint, true),
  },
  {
    name: "v1 SDK over HTTP with a session",
    over: "http",
    era: "legacy",
    connect: (endpoint) => connectOld(endpoint, true),
  },
  {
    name: "v1 SDK over HTTP without one",
    over: "http",
    era: "legacy",
    connect: (endpoint) => connectOld(endpoint, false),
  },
  {
    name: "v2 SDK, older era, over stdio",
    over: "stdio",
    era: "legacy",
    connect: (endpoint) => connectModern(endpoint, "legacy"),
  },
  {
    name: "v2 SDK, older era, over HTTP",
    over: "http",
    era: "legacy",
    connect: (endpoint) => connectModern(endpoint, "legacy"),
  },
  {
    name: "v2 SDK, 2026-07-28, over stdio",
    over: "stdio",
    era: "modern",
    connect: (endpoint) => connectModern(endpoint, "auto"),
  },
  {
    name: "v2 SDK, 2026-07-28, over HTTP",
    over: "http",
    era: "modern",
    connect: (endpoint) => connectModern(endpoint, "auto"),
  },
];
