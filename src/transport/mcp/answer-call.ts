import {
  ProtocolError,
  ProtocolErrorCode,
  type JSONRPCRequest,
  type Result,
} from "@modelcontextprotocol/server";
import type { Attachment, Gate, Reply } from "../../gate/reply.ts";
import type { Caller } from "../../request/principal.ts";
import { REFUSALS } from "../../request/refusal.ts";
import type { Round } from "../../request/round.ts";
import type { CallContext } from "./call-context.ts";
import { declaredBy } from "./declared.ts";
import { answersIn, asksOf, notAsked, questionsIn, roundCallId } from "./fronted-rounds.ts";
import { asksForTask, createdTask } from "./legacy-tasks.ts";
import { ANSWER_TOOL, WAIT_TOOL, WITHDRAW_TOOL } from "./names.ts";
import { createProgress, noProgress, type Progress } from "./progress.ts";
import { renderFault, renderReply, renderWithdrawal } from "./render.ts";
import { nextRound, resumeRound } from "./round-answer.ts";
import { isFrontedState } from "./rounds.ts";
import type { McpConnection, McpParts } from "./server.ts";
import { HANDLE_AFTER_MS, LINGER_MS, timesOf } from "./task-state.ts";
import { seedTask } from "./tasks.ts";
import { parseAnswer, parseTicket, parseToolCall, type ToolCall } from "./tool-call.ts";
import { toolIndexOf } from "./tool-index.ts";
import { isCompanion } from "./tool-list.ts";

// A `tools/call`, from its parameters to its result. `connection.caller` is whoever makes this call (M3).

/** Answers with a signal that is aborted when nobody waits for the answer any more. */
export const whileThere = <T>(
  parts: McpParts,
  { gone }: McpConnection,
  ctx: CallContext,
  answer: (signal: AbortSignal) => Promise<T>,
): Promise<T> =>
  parts.underWay.run(gone === undefined ? [ctx.mcpReq.signal] : [ctx.mcpReq.signal, gone], answer);

/** @throws ProtocolError for a call that is none, and for what a client would have to declare */
export const answerCall = (
  parts: McpParts,
  connection: McpConnection,
  request: JSONRPCRequest,
  ctx: CallContext,
): Promise<Result> =>
  whileThere(parts, connection, ctx, (signal) => answerWhile(parts, connection, request, ctx, signal));

async function answerWhile(
  parts: McpParts,
  connection: McpConnection,
  request: JSONRPCRequest,
  ctx: CallContext,
  signal: AbortSignal,
): Promise<Result> {
  const parsed = parseToolCall(request.params);
  if (!parsed.ok) throw new ProtocolError(ProtocolErrorCode.InvalidParams, parsed.why);
  const { call } = parsed;
  const { caller } = connection;
  const view = viewOf(connection, call, request.params, ctx);
  const sealed = parts.rounds?.sealed;
  const state = ctx.mcpReq.requestState();
  const isModern = connection.era === "modern";
  const asks = isModern ? asksOf(ctx) : {};
  const tool = toolIndexOf(parts.gate.tools()).byName.get(call.tool);
  const answers = isModern ? answersIn(sealed, { ...call, caller }, tool, ctx) : null;
  const round =
    isModern && !isFrontedState(state) ? resumeRound(parts.rounds, { ...call, caller }, state) : null;
  const progress = progressOf(parts, call, ctx);
  const attachment: Attachment = {
    signal,
    holdMs: parts.holdFor?.(caller.client) ?? parts.holdMs,
    progress: (message) => {
      connection.takesTime?.();
      progress.say(message);
    },
    asks,
    ...(view === "held" ? {} : { handleAfterMs: HANDLE_AFTER_MS, lingerMs: LINGER_MS }),
    ...(view === "legacy_task" ? { peeks: true } : {}),
  };
  try {
    // A round goes on waiting for the request that its state names; the call's arguments are not looked at again (N2).
    const reply =
      round === null
        ? await ask(
            parts.gate,
            { ...call, callId: roundCallId(call.callId, answers) },
            answers,
            caller,
            attachment,
          )
        : await parts.gate.wait(round.ticket, caller, { ...attachment, toldNothing: true });
    if (view === "legacy_task") return await createdTask(parts, reply, caller, attachment.signal);
    if (reply.status === "pending") {
      if (view === "task") return seedTask(reply, await timesOf(parts.gate, reply.ticket), parts.pollMs);
      const isThere = connection.era === "modern" && !attachment.signal.aborted;
      const another = isThere
        ? nextRound(parts.rounds, { ...call, caller }, reply, round, declaredBy(ctx))
        : null;
      if (another !== null) return another;
    }
    const questions = isModern
      ? questionsIn(reply, { rounds: sealed, call: { ...call, caller }, tool, ctx })
      : null;
    if (questions !== null) {
      return questions.kind === "asked" ? questions.result : notAsked(questions);
    }
    return call.tool === WITHDRAW_TOOL ? renderWithdrawal(reply) : renderReply(reply);
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    parts.log.error({ err: error, tool: call.tool }, "call failed in the gateway");
    return renderFault();
  } finally {
    progress.stop();
  }
}

/** What this client takes in place of a long wait. Our own tools act on a ticket and are never a task themselves. */
function viewOf(
  { era }: McpConnection,
  { tool }: ToolCall,
  params: JSONRPCRequest["params"],
  ctx: CallContext,
): "task" | "legacy_task" | "held" {
  if (era === "modern") return declaredBy(ctx).tasks && !isCompanion(tool) ? "task" : "held";
  if (!asksForTask(params)) return "held";
  if (isCompanion(tool))
    throw new ProtocolError(ProtocolErrorCode.MethodNotFound, `${tool} cannot be called as a task`);
  return "legacy_task";
}

async function ask(
  gate: Gate,
  call: ToolCall,
  answers: Round | null,
  caller: Caller,
  attachment: Attachment,
): Promise<Reply> {
  if (call.tool === ANSWER_TOOL) {
    const parsed = parseAnswer(call.arguments);
    if (!parsed.ok) return invalidArguments(parsed.why);
    return gate.answer(parsed.ticket, caller, { inquiry: parsed.inquiry, text: parsed.answer });
  }
  if (call.tool === WAIT_TOOL || call.tool === WITHDRAW_TOOL) {
    const parsed = parseTicket(call.arguments, call.tool === WITHDRAW_TOOL);
    if (!parsed.ok) return invalidArguments(parsed.why);
    return call.tool === WAIT_TOOL
      ? gate.wait(parsed.ticket, caller, attachment)
      : gate.withdraw(parsed.ticket, caller, parsed.reason);
  }
  return gate.call(
    {
      tool: call.tool,
      arguments: call.arguments,
      caller,
      ...(answers === null ? {} : { round: answers }),
      ...(call.reasoning === undefined ? {} : { reasoning: call.reasoning }),
      ...(call.callId === undefined ? {} : { callId: call.callId }),
      ...(call.trace === undefined ? {} : { trace: call.trace }),
    },
    attachment,
  );
}

const invalidArguments = (message: string): Reply => ({
  status: "refused",
  request: null,
  code: "invalid_arguments",
  class: REFUSALS.invalid_arguments.class,
  deniedBy: "gate",
  message,
  because: [],
  reason: null,
  advice: REFUSALS.invalid_arguments.advice,
  retryAfterMs: null,
});

function progressOf(parts: McpParts, call: ToolCall, ctx: CallContext): Progress {
  const progressToken = call.progressToken;
  if (progressToken === undefined) return noProgress;
  return createProgress(
    (progress, message) =>
      ctx.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, message } }),
    parts.progressEveryMs,
  );
}
