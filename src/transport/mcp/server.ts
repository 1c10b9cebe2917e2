import {
  CLIENT_INFO_META_KEY,
  ProtocolError,
  ProtocolErrorCode,
  Server,
  SUPPORTED_PROTOCOL_VERSIONS,
  type Implementation,
  type JSONRPCRequest,
  type Result,
  type ServerCapabilities,
  type ServerContext,
  type Tool,
} from "@modelcontextprotocol/server";
import type { Logger } from "pino";
import type { Attachment, Gate, PublishedTool, Reply } from "../../gate/reply.ts";
import type { Caller } from "../../request/principal.ts";
import { REFUSALS } from "../../request/refusal.ts";
import type { Round } from "../../request/round.ts";
import type { CallsUnderWay } from "./calls-under-way.ts";
import { createProgress, noProgress, type Progress } from "./progress.ts";
import { ANSWER_TOOL, MODERN_REVISION, WAIT_TOOL, WITHDRAW_TOOL } from "./names.ts";
import { declaredBy, TASKS_EXTENSION } from "./declared.ts";
import { answerDocuments, DOCUMENT_METHODS } from "./documents.ts";
import { answersIn, asksOf, notAsked, questionsIn, roundCallId } from "./fronted-rounds.ts";
import {
  answerLegacyTask,
  asksForTask,
  createdTask,
  LEGACY_TASK_METHODS,
  LEGACY_TASKS,
} from "./legacy-tasks.ts";
import { renderFault, renderReply, renderWithdrawal } from "./render.ts";
import { nextRound, resumeRound, type RoundParts } from "./round-answer.ts";
import { isFrontedState } from "./rounds.ts";
import { guarded, HANDLE_AFTER_MS, LINGER_MS, timesOf } from "./task-state.ts";
import { seedTask, serveTasks } from "./tasks.ts";
import { parseAnswer, parseTicket, parseToolCall, traceIn, type ToolCall } from "./tool-call.ts";
import { toolIndexOf } from "./tool-index.ts";
import { isCompanion, listTools } from "./tool-list.ts";

// One MCP server for clients of both protocol eras.
//
//   M1. The gate decides. Here a call is taken apart, handed over, and its reply put into MCP's words (P1).
//   M2. A connection's end detaches and never withdraws: `Attachment.signal`, and nothing else, hears of it.
//   M3. Who calls comes from the transport's authentication; what the client says of itself is a claim (P2).
//
// `tools/call` is answered from `fallbackRequestHandler`: the SDK's own tool handlers re-validate results and strip
// what they do not know.

export interface McpParts {
  readonly gate: Gate;
  readonly version: string;
  /** Milliseconds to wait for people before a ticket is given. Most clients give up at 60 s. */
  readonly holdMs: number;
  /** The same by what a client says it is, which is a claim and changes nothing else; null: as all others (P2). */
  readonly holdFor?: (client: Caller["client"]) => number | null;
  /** How clients of 2026-07-28 without tasks wait longer than one answer may take; absent: they get the ticket. */
  readonly rounds?: RoundParts;
  readonly log: Logger;
  readonly underWay: CallsUnderWay;
  readonly progressEveryMs?: number;
  /** How often a client that took a handle is asked to look. */
  readonly pollMs?: number;
}

/** One client as its transport knows it. */
export interface McpConnection {
  readonly caller: Caller;
  /** Which protocol it speaks: `modern` is 2026-07-28. */
  readonly era: "legacy" | "modern";
  /** It can be told something that it did not ask for. */
  readonly hears?: boolean;
  /** Aborted when the client left in a way that the SDK does not see. */
  readonly gone?: AbortSignal;
  /** Hears when a call is not over at once: it waits, or says how it goes on. */
  readonly takesTime?: () => void;
  /** The one method that this server is made for, where a transport makes a server per request. */
  readonly method?: string;
}

/** What is answered here. Anything else is left to the SDK, which then says 404 over HTTP as the protocol demands. */
const SERVED: Readonly<Record<McpConnection["era"], ReadonlySet<string>>> = {
  legacy: new Set(["tools/list", "tools/call", ...DOCUMENT_METHODS, ...LEGACY_TASK_METHODS]),
  modern: new Set(["tools/list", "tools/call", ...DOCUMENT_METHODS]),
};

const INSTRUCTIONS =
  "Some tools here change infrastructure, and people may have to approve a call before it runs. A result with status " +
  `"pending" is neither an error nor done: do not call the tool again, call ${WAIT_TOOL} with its ticket. ` +
  `Its inquiries, if it has any, are questions of people: answer them with ${ANSWER_TOOL}. ` +
  "Say in `justification`, in one or two sentences, why you act: the people who decide read it. A refusal says " +
  "whether the call may be corrected and repeated (denied_fixable, expired, stale) or not (denied_final).";

/** A server for one connection (stdio) or one request (HTTP). */
export function createMcpServer(parts: McpParts, connection: McpConnection): Server {
  const { documents } = toolIndexOf(parts.gate.tools());
  const server = new Server(
    { name: "countersign", title: "Countersign", version: parts.version },
    {
      capabilities: {
        ...CAPABILITIES[connection.era],
        ...(connection.hears === true ? { tools: { listChanged: true } } : {}),
        ...(documents.length === 0 ? {} : DOCUMENTS),
      },
      instructions: INSTRUCTIONS,
      // What the SDK's own entries add to a server of that era.
      ...(connection.era === "modern" ? { supportedProtocolVersions: MODERN_VERSIONS } : {}),
    },
  );
  const callerOf = (ctx: ServerContext): Caller => ({
    ...connection.caller,
    client: clientOf(server, ctx) ?? connection.caller.client,
  });
  server.onerror = (error) => parts.log.debug({ err: error.message }, "mcp message not served");
  if (connection.era === "modern") serveTasks(server, parts, callerOf);
  const isServed = (method: string): boolean =>
    SERVED[connection.era].has(method) && (documents.length > 0 || !DOCUMENT_METHODS.has(method));
  if (connection.method !== undefined && !isServed(connection.method)) return server;
  server.fallbackRequestHandler = async (request, ctx) => {
    switch (request.method) {
      case "tools/list":
        return { tools: toolsOf(parts) };
      case "tools/call":
        return whileThere(parts, connection, ctx, (signal) =>
          answerCall(parts, { ...connection, caller: callerOf(ctx) }, request, ctx, signal),
        );
      default: {
        if (DOCUMENT_METHODS.has(request.method) && documents.length > 0) {
          return guarded(parts.log, request.method, () =>
            whileThere(parts, connection, ctx, (signal) =>
              documentsFor(parts, { ...connection, caller: callerOf(ctx) }, request, ctx, signal),
            ),
          );
        }
        const answer =
          connection.era === "legacy"
            ? await guarded(parts.log, request.method, () =>
                whileThere(parts, connection, ctx, (signal) =>
                  answerLegacyTask(parts, request, callerOf(ctx), signal),
                ),
              )
            : null;
        if (answer !== null) return answer;
        throw new ProtocolError(ProtocolErrorCode.MethodNotFound, "Method not found");
      }
    }
  };
  return server;
}

const MODERN_VERSIONS = [...SUPPORTED_PROTOCOL_VERSIONS, MODERN_REVISION];

/** Offered once a fronted server's documents are. */
const DOCUMENTS = { resources: {}, prompts: {}, completions: {} } as const;

const CAPABILITIES: Readonly<Record<McpConnection["era"], ServerCapabilities>> = {
  legacy: { tools: {}, tasks: LEGACY_TASKS },
  modern: { tools: {}, extensions: { [TASKS_EXTENSION]: {} } },
};

/** The SDK would hand the message of whatever is thrown here to the client. */
function toolsOf(parts: McpParts): Tool[] {
  try {
    return [...listTools(parts.gate.tools())];
  } catch (error) {
    parts.log.error({ err: error }, "tools could not be listed");
    throw new ProtocolError(
      ProtocolErrorCode.InternalError,
      "the tools cannot be listed; the operator's log has the cause",
    );
  }
}

function documentsFor(
  parts: McpParts,
  connection: McpConnection,
  { method, params = {} }: JSONRPCRequest,
  ctx: ServerContext,
  signal: AbortSignal,
): Promise<Result> {
  const { caller } = connection;
  const isModern = connection.era === "modern";
  const asks = isModern ? asksOf(ctx) : {};
  const attachment: Attachment = { signal, holdMs: parts.holdFor?.(caller.client) ?? parts.holdMs, asks };
  const tools = toolIndexOf(parts.gate.tools()).documents;
  const sealed = parts.rounds?.sealed;
  const trace = traceIn(params["_meta"] ?? {});
  const ask = async (tool: PublishedTool, args: object): Promise<Reply | Result> => {
    const call = { caller, tool: tool.name, arguments: args };
    const round = isModern ? answersIn(sealed, call, tool, ctx) : null;
    const reply = await parts.gate.call(
      {
        ...{ tool: tool.name, arguments: args, caller },
        ...(round === null ? {} : { round }),
        ...(trace === undefined ? {} : { trace }),
      },
      attachment,
    );
    const questions = isModern ? questionsIn(reply, { rounds: sealed, call, tool, ctx }) : null;
    if (questions === null) return reply;
    if (questions.kind === "asked") return questions.result;
    throw new ProtocolError(ProtocolErrorCode.InternalError, questions.words);
  };
  const look = (): Promise<Reply | null> => parts.gate.look(caller);
  return answerDocuments({ tools, ask, look, signal, log: parts.log }, method, params);
}

/** Answers with a signal that is aborted when nobody waits for the answer any more. */
const whileThere = <T>(
  parts: McpParts,
  { gone }: McpConnection,
  ctx: ServerContext,
  answer: (signal: AbortSignal) => Promise<T>,
): Promise<T> =>
  parts.underWay.run(gone === undefined ? [ctx.mcpReq.signal] : [ctx.mcpReq.signal, gone], answer);

async function answerCall(
  parts: McpParts,
  connection: McpConnection,
  request: JSONRPCRequest,
  ctx: ServerContext,
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
  ctx: ServerContext,
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

function progressOf(parts: McpParts, call: ToolCall, ctx: ServerContext): Progress {
  const progressToken = call.progressToken;
  if (progressToken === undefined) return noProgress;
  return createProgress(
    (progress, message) =>
      ctx.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, message } }),
    parts.progressEveryMs,
  );
}

/** What the client says of itself: per request in the modern era, from the handshake before it. */
function clientOf(server: Server, ctx: ServerContext): Caller["client"] {
  const envelope = ctx.mcpReq.envelope as
    Readonly<Record<string, Partial<Implementation> | undefined>> | undefined;
  const info = envelope?.[CLIENT_INFO_META_KEY] ?? server.getClientVersion();
  return clientClaim(info?.name, info?.version);
}

const MAX_CLAIM_LENGTH = 128;

/** A client's claim about itself, kept short. */
export const clientClaim = (name: unknown, version: unknown): Caller["client"] =>
  typeof name === "string" && typeof version === "string"
    ? { name: name.slice(0, MAX_CLAIM_LENGTH), version: version.slice(0, MAX_CLAIM_LENGTH) }
    : null;
