import { ProtocolError, ProtocolErrorCode, type Result } from "@modelcontextprotocol/server";
import type { Gate, Reply } from "../../gate/reply.ts";
import type { Caller } from "../../request/principal.ts";
import { plainLine } from "./plain-text.ts";
import { renderReply } from "./render.ts";
import { peekAt, POLL_MS, taskStateOf, timesOf, type TaskState, type TaskTimes } from "./task-state.ts";
import { demandTask, statusMessage } from "./tasks.ts";

// Tasks of 2025-11-25 (experimental there): the client asks with `params.task`, looks with `tasks/get`, and fetches the
// result with `tasks/result`, which blocks. `tasks/list` is not offered: nobody needs to learn ids that they were not
// given.

/** What the server advertises to clients of that revision. */
export const LEGACY_TASKS = { cancel: {}, requests: { tools: { call: {} } } } as const;

/** The methods of {@link answerLegacyTask}. */
export const LEGACY_TASK_METHODS = ["tasks/get", "tasks/result", "tasks/cancel"] as const;

/** How long one wait on the gate lasts inside the blocking `tasks/result`. */
const WAIT_MS = 60_000;

const RELATED_TASK = "io.modelcontextprotocol/related-task";

export interface LegacyTaskParts {
  readonly gate: Gate;
  readonly pollMs?: number;
}

/** True where a call of that revision asks to be a task. */
export const asksForTask = (params: Readonly<Record<string, unknown>> | undefined): boolean => {
  const task = params?.["task"];
  return typeof task === "object" && task !== null && !Array.isArray(task);
};

/** The answer to a call that asked to be a task. */
export async function createdTask(
  parts: LegacyTaskParts,
  reply: Reply,
  caller: Caller,
  signal: AbortSignal,
): Promise<Result> {
  const id = reply.status === "pending" ? reply.ticket : reply.request;
  // A try that is only noted has an id for people to find it by, and is nobody's request.
  const state = id === null ? null : taskStateOf(await peekAt(parts.gate, id, caller, signal));
  if (id !== null && state !== null && state.state !== "none")
    return { task: describe(state, id, await timesOf(parts.gate, id), parts.pollMs) };
  // What never became a request can't be one's task: the refusal goes back at once, in the words it always has.
  const { content, structuredContent } = renderReply(reply);
  const [first] = content;
  throw new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    first?.type === "text" ? first.text : "refused",
    structuredContent,
  );
}

/** `tasks/get`, `tasks/result` and `tasks/cancel` of that revision; null for any other method. */
export async function answerLegacyTask(
  parts: LegacyTaskParts,
  request: { readonly method: string; readonly params?: Readonly<Record<string, unknown>> | undefined },
  caller: Caller,
  signal: AbortSignal,
): Promise<Result | null> {
  const { gate } = parts;
  switch (request.method) {
    case "tasks/get": {
      const id = idIn(request.params);
      const state = demandTask(await peekAt(gate, id, caller, signal));
      return describe(state, id, await timesOf(gate, id), parts.pollMs);
    }
    case "tasks/result": {
      const id = idIn(request.params);
      const reply = await settled(parts, id, caller, signal);
      return { ...renderReply(reply), _meta: { [RELATED_TASK]: { taskId: id } } };
    }
    case "tasks/cancel": {
      const id = idIn(request.params);
      const before = demandTask(await gate.wait(id, caller, { holdMs: 0, signal, onlyLooks: true }));
      const state = before.state === "open" ? demandTask(await gate.withdraw(id, caller, null)) : before;
      if (before.state === "open" && state.state === "cancelled")
        return describe(state, id, await timesOf(gate, id), parts.pollMs);
      throw new ProtocolError(
        ProtocolErrorCode.InvalidParams,
        state.state === "open"
          ? "it has begun to run and can no longer be taken back"
          : "the task has ended and can no longer be cancelled",
      );
    }
    default:
      return null;
  }
}

/** Stays until the request has ended, for as long as the client does. */
async function settled(
  parts: LegacyTaskParts,
  id: string,
  caller: Caller,
  signal: AbortSignal,
): Promise<Reply> {
  for (;;) {
    const reply = await parts.gate.wait(id, caller, { holdMs: WAIT_MS, signal });
    if (demandTask(reply).state !== "open") return reply;
    // A person's question ends a wait at once, and so does a client that left.
    if (signal.aborted)
      throw new ProtocolError(ProtocolErrorCode.InternalError, "the task has not ended; ask again");
  }
}

function idIn(params: Readonly<Record<string, unknown>> | undefined): string {
  const id = params?.["taskId"];
  if (typeof id === "string") return id;
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, "params.taskId must be a string");
}

function describe(state: TaskState, taskId: string, times: TaskTimes, pollMs = POLL_MS): Result {
  const task = { taskId, ...times, ttl: null, pollInterval: pollMs };
  switch (state.state) {
    case "open":
      return { ...task, status: "working", statusMessage: statusMessage(state.reply) };
    case "cancelled":
      return { ...task, status: "cancelled", statusMessage: "withdrawn; nothing ran" };
    case "ended": {
      const { reply } = state;
      const said = reply.status === "done" ? reply.summary : reply.status === "pending" ? "" : reply.message;
      return { ...task, status: "completed", statusMessage: plainLine(said, 300) };
    }
  }
}
