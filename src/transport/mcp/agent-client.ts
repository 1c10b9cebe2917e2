import { randomUUID } from "node:crypto";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

import { CALL_ID_META } from "./names.ts";

/** A real MCP client on a gateway spawned over stdio, as a host would: what the demo's agent speaks through. */
export interface AgentClient {
  call(
    tool: string,
    args: Readonly<Record<string, unknown>>,
    onProgress: (message: string) => void,
  ): Promise<{ readonly isError: boolean; readonly text: string }>;
  close(): Promise<void>;
}

/** Waits at most this long for an answer, progress or not. */
const LONGEST_CALL_MS = 20 * 60_000;

export async function connectAgent(command: {
  readonly command: string;
  readonly args: readonly string[];
  readonly version: string;
}): Promise<AgentClient> {
  const client = new Client(
    { name: "countersign-demo-agent", version: command.version },
    { versionNegotiation: { mode: "auto" } },
  );
  await client.connect(
    new StdioClientTransport({ command: command.command, args: [...command.args], stderr: "ignore" }),
  );
  return {
    async call(tool, args, onProgress) {
      const result = await client.callTool(
        // Each wish is a new one: without an id of its own, the same call within ten minutes is answered, not run.
        { name: tool, arguments: { ...args }, _meta: { [CALL_ID_META]: randomUUID() } },
        {
          timeout: LONGEST_CALL_MS,
          onprogress: ({ message }) => {
            if (message !== undefined) onProgress(message);
          },
        },
      );
      const content = result.content as readonly { readonly type: string; readonly text?: string }[];
      return {
        isError: result.isError === true,
        text: content.map((block) => block.text ?? "").join("\n"),
      };
    },
    close: () => client.close(),
  };
}
