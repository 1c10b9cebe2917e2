import {
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
  type Result,
  type Server,
  type ServerContext,
} from "@modelcontextprotocol/server";
import type { Logger } from "pino";
import * as z from "zod";
import type { Gate, Reply } from "../../gate/reply.ts";
import type { Caller } from "../../request/principal.ts";
import { declaredBy, TASKS_EXTENSION, type Declared } from "./declared.ts";
import { upstreamError } from "./fronted.ts";
import { ANSWER_TOOL } from "./names.ts";
import { plainLine, plainText } from "./plain-text.ts";
import { renderReply } from "./render.ts";
import {
  guarded,
  lookAt,
  peekAt,
  POLL_MS,
  taskStateOf,
  timesOf,
  type NoTask,
  type TaskTimes,
} from "./task-state.ts";

// Tasks of 2026-07-28 (SEP-2663): a handle in place of a wait, for clients that declare the extension on the call.
//
// A question of a person to the agent is a form in `inputRequests`, where the client shows forms. What comes back is
// written by whoever sits at the agent: a claim, like every answer to such a question (P2, P3).

export interface TaskParts {
  readonly gate: Gate;
  readonly log: Logger;
  readonly pollMs?: number;
}

const SCHEMAS = { params: z.looseObject({ taskId: z.string() }), result: z.looseObject({}) };

/**
 * `tasks/get` and `tasks/cancel` reach a handler in this era only if they are registered with schemas, and
 * `inputResponses` is taken out of `params` before any handler sees it (SDK 2.4).
 */
export function serveTasks(server: Server, parts: TaskParts, callerOf: (ctx: ServerContext) => Caller): void {
  const { gate } = parts;
  const serve = (
    method: string,
    answer: (task: string, caller: Caller, ctx: ServerContext) => Promise<Result>,
  ): void =>
    server.setRequestHandler(method, SCHEMAS, async ({ taskId }, ctx) => {
      demandDeclared(declaredBy(ctx));
      return guarded(parts.log, method, () => answer(taskId, callerOf(ctx), ctx));
    });

  serve("tasks/get", async (task, caller, ctx) => {
    const reply = await lookAt(gate, task, caller, ctx.mcpReq.signal);
    demandTask(reply);
    return detailedTask(reply, await timesOf(gate, task), task, declaredBy(ctx), parts.pollMs);
  });
  serve("tasks/cancel", async (task, caller) => {
    // Until the claim; after it this is where it stands, and the next look shows it.
    demandTask(await gate.withdraw(task, caller, null));
    return {};
  });
  serve("tasks/update", async (task, caller, ctx) => {
    const reply = await peekAt(gate, task, caller, ctx.mcpReq.signal);
    const state = demandTask(reply);
    if (state.state !== "open") return {};
    const given = ctx.mcpReq.inputResponses ?? {};
    const answers = state.reply.inquiries
      .filter(({ id }) => Object.hasOwn(given, id))
      .map(({ id }) => ({ inquiry: id, text: answerIn(id, given[id]) }));
    for (const answer of answers) {
      const answered = await gate.answer(task, caller, answer);
      // Answered meanwhile, or over: the next look shows it.
      if (answered.status === "refused" && NOT_TAKEN.has(answered.code))
        throw new ProtocolError(ProtocolErrorCode.InvalidParams, plainLine(answered.message));
    }
    return {};
  });
}

const NOT_TAKEN: ReadonlySet<string> = new Set(["invalid_arguments", "call_too_large", "rate_limited"]);

function demandDeclared(declared: Declared): void {
  if (declared.tasks) return;
  throw new MissingRequiredClientCapabilityError(
    { requiredCapabilities: { extensions: { [TASKS_EXTENSION]: {} } } },
    `tasks need the extension ${TASKS_EXTENSION} in the request's client capabilities`,
  );
}

/** @throws ProtocolError where the answer is not about the caller's own task */
export function demandTask(reply: Reply): Exclude<ReturnType<typeof taskStateOf>, NoTask> {
  const state = taskStateOf(reply);
  if (state.state !== "none") return state;
  throw state.isUnknown
    ? new ProtocolError(ProtocolErrorCode.InvalidParams, "no task of yours has this id")
    : new ProtocolError(ProtocolErrorCode.InternalError, plainLine(state.message));
}

/** The answer to a call that people are asked about, or that still runs: never more than that it is on its way. */
export function seedTask(
  reply: Extract<Reply, { readonly status: "pending" }>,
  times: TaskTimes,
  pollMs = POLL_MS,
): Result {
  return {
    resultType: "task",
    taskId: reply.ticket,
    status: "working",
    statusMessage: statusMessage(reply),
    ...times,
    // A request has no end after which it is forgotten.
    ttlMs: null,
    pollIntervalMs: pollMs,
  };
}

function detailedTask(
  reply: Reply,
  times: TaskTimes,
  taskId: string,
  declared: Declared,
  pollMs = POLL_MS,
): Result {
  const state = demandTask(reply);
  const task = { resultType: "complete", taskId, ...times, ttlMs: null };
  switch (state.state) {
    case "open": {
      const { inquiries } = state.reply;
      const polled = { ...task, statusMessage: statusMessage(state.reply), pollIntervalMs: pollMs };
      return inquiries.length > 0 && declared.form
        ? { ...polled, status: "input_required", inputRequests: inputRequests(state.reply) }
        : { ...polled, status: "working" };
    }
    case "cancelled":
      return { ...task, status: "cancelled", statusMessage: "withdrawn; nothing ran" };
    case "ended": {
      // SEP-2663: a request that ended in an error of the protocol has failed, whatever it did before.
      const error = upstreamError(state.reply);
      if (error?.isItsOwn === true) {
        const { isItsOwn: _, ...said } = error;
        const words = `the server was called and answered with an error: ${error.message}`;
        return { ...task, status: "failed", statusMessage: plainLine(words, 500), error: said };
      }
      return {
        ...task,
        status: "completed",
        // The requester's client of the extension refuses a result without its own type.
        result: { ...renderReply(state.reply), resultType: "complete" },
      };
    }
  }
}

/** One line for the host to show: where it stands, and the characters that people see too. */
export function statusMessage(reply: Extract<Reply, { readonly status: "pending" }>): string {
  const { waitingFor, code, inquiries } = reply;
  const asked =
    inquiries.length === 0
      ? []
      : [`a person asks: ${inquiries.map(({ text }) => plainLine(text, 300)).join(" / ")} (${ANSWER_TOOL})`];
  return [plainLine(waitingFor), ...(code === null ? [] : [`request code ${code}`]), ...asked].join("; ");
}

function inputRequests({
  code,
  inquiries,
}: Extract<Reply, { readonly status: "pending" }>): Record<string, object> {
  const about = code === null ? "a request" : `request ${code}`;
  return Object.fromEntries(
    inquiries.map(({ id, text }) => [
      id,
      {
        method: "elicitation/create",
        params: {
          mode: "form",
          message:
            `A person who decides about ${about} asks the agent:\n\n${plainText(text)}\n\n` +
            "They read the answer as an unverified claim. It approves nothing.",
          requestedSchema: {
            type: "object",
            properties: { answer: { type: "string", title: "Answer", minLength: 1, maxLength: 8_192 } },
            required: ["answer"],
          },
        },
      },
    ]),
  );
}

/** Who asked waits for an answer: that there will be none is one, and ends the asking. */
function answerIn(inquiry: string, response: unknown): string {
  const { action, content } = response as { action?: unknown; content?: { answer?: unknown } | null };
  if (action === "decline" || action === "cancel") return "(not answered: the agent's side declined)";
  const answer = content?.answer;
  if (action === "accept" && typeof answer === "string") return answer;
  // A client that fills in another form than it was given: people read what it sent, for what that is worth.
  if (action === "accept" && answer === undefined && Object.keys(content ?? {}).length > 0) {
    return JSON.stringify(content);
  }
  throw new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    `inputResponses["${plainLine(inquiry, 64)}"] needs action "accept" and content.answer as a string, or "decline"`,
  );
}
