import {
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
import { answerCall, whileThere } from "./answer-call.ts";
import { clientClaim, clientIn } from "./call-context.ts";
import type { CallsUnderWay } from "./calls-under-way.ts";
import { ANSWER_TOOL, MODERN_REVISION, WAIT_TOOL } from "./names.ts";
import { TASKS_EXTENSION } from "./declared.ts";
import { answerDocuments, DOCUMENT_METHODS } from "./documents.ts";
import { answersIn, asksOf, questionsIn } from "./fronted-rounds.ts";
import { answerLegacyTask, LEGACY_TASK_METHODS, LEGACY_TASKS } from "./legacy-tasks.ts";
import type { RoundParts } from "./round-answer.ts";
import { guarded } from "./task-state.ts";
import { serveTasks } from "./tasks.ts";
import { traceIn } from "./tool-call.ts";
import { toolIndexOf } from "./tool-index.ts";
import { listTools } from "./tool-list.ts";

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
  const server = new Server(serverInfo(parts.version), {
    capabilities: {
      ...CAPABILITIES[connection.era],
      ...(connection.hears === true ? { tools: { listChanged: true } } : {}),
      ...(documents.length === 0 ? {} : DOCUMENTS),
    },
    instructions: INSTRUCTIONS,
    // What the SDK's own entries add to a server of that era.
    ...(connection.era === "modern" ? { supportedProtocolVersions: MODERN_VERSIONS } : {}),
  });
  // Per request in the modern era, from the handshake before it.
  const callerOf = (ctx: ServerContext): Caller => {
    const greeted = server.getClientVersion();
    const client = clientIn(ctx) ?? clientClaim(greeted?.name, greeted?.version);
    return { ...connection.caller, client: client ?? connection.caller.client };
  };
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
        return answerCall(parts, { ...connection, caller: callerOf(ctx) }, request, ctx);
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

export const serverInfo = (version: string): Implementation => ({
  ...{ name: "countersign", title: "Countersign", version },
});

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
