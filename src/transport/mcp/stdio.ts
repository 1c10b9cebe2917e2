import { serveStdio as serveSdk } from "@modelcontextprotocol/server/stdio";
import type { Server } from "@modelcontextprotocol/server";
import type { Readable, Writable } from "node:stream";
import type { Logger } from "pino";
import type { Gate } from "../../gate/reply.ts";
import type { Caller } from "../../request/principal.ts";
import { createCallsUnderWay } from "./calls-under-way.ts";
import { createMcpServer, type McpConnection, type McpParts } from "./server.ts";
import { createStdioTransport } from "./stdio-transport.ts";

// MCP over standard input and output.
//
//   O1. stdout carries the protocol and nothing else.
//   O2. End of input, SIGTERM and SIGINT end the connection. Held calls then get their tickets, and a call that has
//       begun to run is not broken off: the process stays until it has ended.

export interface ServeStdioOptions extends Pick<McpParts, "holdFor" | "rounds" | "pollMs"> {
  readonly holdMs: number;
  readonly version: string;
  readonly log: Logger;
  readonly progressEveryMs?: number;
  readonly stdin?: Readable;
  readonly stdout?: Writable;
}

/** How long a connection that ends stays open for answers. */
const FAREWELL_MS = 1_000;

/** Serves one client until it or the process ends, and resolves when no call is under way any more. */
export async function serveStdio(gate: Gate, caller: Caller, options: ServeStdioOptions): Promise<void> {
  const underWay = createCallsUnderWay();
  const parts = { gate, ...options, underWay };
  const transport = createStdioTransport(options.stdin ?? process.stdin, options.stdout ?? process.stdout);
  let server: Server | null = null;
  const serve = ({ era }: { readonly era: McpConnection["era"] }): Server => {
    server = createMcpServer(parts, { caller, era, hears: true });
    return server;
  };
  const unhear = gate.onToolsChanged(() => {
    // Before its greeting a client has no list that could have changed.
    server?.sendToolListChanged().catch(() => undefined);
  });
  const connection = serveSdk(serve, {
    transport,
    onerror: (error) => options.log.debug({ err: error.message }, "mcp message not served"),
  });
  let stop: () => void = () => undefined;
  const signalled = new Promise<void>((resolve) => {
    stop = resolve;
  });
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  try {
    await Promise.race([transport.ended, signalled]);
    underWay.stop();
    await transport.allAnswered(FAREWELL_MS);
  } finally {
    unhear();
    process.removeListener("SIGTERM", stop);
    process.removeListener("SIGINT", stop);
    await connection.close();
  }
  await underWay.settled();
}
