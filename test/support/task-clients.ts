import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { createTaskSessionFromClient, type JsonRpcResponse } from "@modelcontextprotocol/ext-tasks/client";
import type { JsonValue } from "@modelcontextprotocol/ext-tasks/core";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as OldStdio } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as OldHttp } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { environment, toolResult, type Endpoint, type ToolResult } from "./mcp-clients.ts";

// Clients that take a held call as a task, behind one small face. Nobody here wrote how they poll, when they stop, or
// what they make of an answer.

export interface TaskClient {
  /** Calls as a task; `settled` is what the client makes of its end. */
  start(tool: string, args: Record<string, unknown>): Promise<StartedTask>;
  /** Another session's task, by its id alone. */
  resume(taskId: string): Promise<Ended>;
  cancel(taskId: string): Promise<void>;
  /** Goes without a word, as a host that crashed. Closing a session of the extension's client cancels what is open. */
  leave(): Promise<void>;
  close(): Promise<void>;
}

export interface StartedTask {
  readonly taskId: string;
  readonly settled: Promise<Ended>;
}

/** A result, or `cancelled` where the task was. */
export type Ended = ToolResult | "cancelled";

export interface TaskClientKind {
  readonly name: string;
  readonly over: "stdio" | "http";
  /** It shows a person's question to whoever sits at it, who says `it is due`. */
  readonly answersQuestions: boolean;
  connect(endpoint: Endpoint): Promise<TaskClient>;
}

const INFO = { name: "countersign-test", version: "1.0.0" };

async function connectExtension(endpoint: Endpoint, mode: "legacy" | "auto"): Promise<TaskClient> {
  const client = new Client(INFO, { versionNegotiation: { mode } });
  const transport =
    endpoint.kind === "stdio"
      ? new StdioClientTransport({
          command: endpoint.command,
          args: [...endpoint.args],
          env: environment(endpoint.env),
          stderr: "inherit",
        })
      : new StreamableHTTPClientTransport(new URL(endpoint.url), {
          requestInit: { headers: { authorization: `Bearer ${endpoint.token}` } },
        });
  await client.connect(transport);
  const dispatch = rawDispatch(transport);
  const session = createTaskSessionFromClient(client, {
    endpointId: "countersign-test",
    onInputRequest: (async () => ({ action: "accept", content: { answer: "it is due" } })) as never,
    ...(mode === "legacy"
      ? {}
      : {
          rawDispatch: dispatch,
          v2RequestFraming: {
            protocolVersion: "2026-07-28",
            clientInfo: INFO,
            clientCapabilities: { elicitation: { form: {} } },
          },
        }),
  });
  type Execution = Awaited<ReturnType<typeof session.callTool>>;
  const executions: Execution[] = [];
  const end = async (execution: Execution): Promise<Ended> => {
    const { outcome } = await execution.settle();
    if (outcome.status === "failed") throw outcome.error;
    return outcome.status === "cancelled" ? "cancelled" : toolResult(outcome.result);
  };
  return {
    async start(tool, args) {
      const execution = await session.callTool(tool, args as Record<string, JsonValue>, {
        task: { preference: "prefer" },
      });
      executions.push(execution);
      if (execution.kind !== "task") {
        throw new Error(`no task but ${JSON.stringify((await execution.settle()).outcome)}`);
      }
      const settled = end(execution);
      // Whoever leaves a task does not hear its end.
      settled.catch(() => undefined);
      return { taskId: execution.handle.taskId, settled };
    },
    async resume(taskId) {
      const execution = await session.resumeTask({
        endpointId: "countersign-test",
        generation: mode === "legacy" ? "v1" : "v2",
        taskId: taskId as never,
        originalOperation: "tools/call",
      });
      return end(execution);
    },
    cancel: (taskId) => session.task(taskId as never).cancel(),
    async leave() {
      for (const execution of executions) await execution.detach();
      await client.close();
    },
    async close() {
      await session.close();
      await client.close();
    },
  };
}

/** Sends what the SDK's own client would refuse to, over its transport. */
function rawDispatch(transport: StdioClientTransport | StreamableHTTPClientTransport) {
  const waiting = new Map<string, (response: JsonRpcResponse) => void>();
  const deliver = transport.onmessage?.bind(transport);
  transport.onmessage = (message: unknown, ...rest: never[]) => {
    const { id, result, error } = message as { id?: string; result?: JsonValue; error?: never };
    const settle = waiting.get(String(id));
    if (settle === undefined) return (deliver as (...given: unknown[]) => void)(message, ...rest);
    waiting.delete(String(id));
    settle(error === undefined ? { kind: "result", result: result as JsonValue } : { kind: "error", error });
  };
  let count = 0;
  return (request: JsonValue): Promise<JsonRpcResponse> => {
    const id = `raw-${(count += 1)}`;
    return new Promise((resolve, reject) => {
      waiting.set(id, resolve);
      transport.send({ jsonrpc: "2.0", id, ...(request as { method: string }) }).catch(reject);
    });
  };
}

async function connectStream(endpoint: Endpoint): Promise<TaskClient> {
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
        });
  await client.connect(transport as Parameters<OldClient["connect"]>[0]);
  await client.listTools();
  const { tasks } = client.experimental;
  return {
    start(tool, args) {
      const stream = tasks.callToolStream({ name: tool, arguments: args }, CallToolResultSchema, {
        task: { ttl: 60_000 },
      });
      return new Promise((resolve, reject) => {
        let created: (taskId: string) => void = () => undefined;
        const drive = async (): Promise<Ended> => {
          for await (const message of stream) {
            if (message.type === "taskCreated") created(message.task.taskId);
            if (message.type === "result") return toolResult(message.result);
            if (message.type === "error") {
              if (/was cancelled/.test(message.error.message)) return "cancelled";
              throw message.error;
            }
          }
          throw new Error("the stream ended without an end");
        };
        const settled = drive();
        created = (taskId) => resolve({ taskId, settled });
        settled.catch(reject);
      });
    },
    async resume(taskId) {
      const { status } = await tasks.getTask(taskId);
      if (status === "cancelled") return "cancelled";
      return toolResult(await tasks.getTaskResult(taskId, CallToolResultSchema));
    },
    cancel: async (taskId) => void (await tasks.cancelTask(taskId)),
    leave: () => client.close(),
    close: () => client.close(),
  };
}

/** Every client that is promised tasks. */
export const TASK_CLIENT_KINDS: readonly TaskClientKind[] = [
  ...(["stdio", "http"] as const).flatMap((over): TaskClientKind[] => [
    {
      name: `tasks extension, 2026-07-28, over ${over}`,
      over,
      answersQuestions: true,
      connect: (endpoint) => connectExtension(endpoint, "auto"),
    },
    {
      name: `v1 SDK's task stream over ${over}`,
      over,
      answersQuestions: false,
      connect: connectStream,
    },
  ]),
  {
    name: "tasks extension's client, 2025-11-25, over HTTP",
    over: "http",
    answersQuestions: false,
    connect: (endpoint) => connectExtension(endpoint, "legacy"),
  },
];
