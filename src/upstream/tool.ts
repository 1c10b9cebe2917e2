import { canonicalCopy, type Json, type JsonObject } from "../base/canonical-json.ts";
import { digestJson } from "../base/digest.ts";
import { isJsonObject } from "../base/json-object.ts";
import { pointerStep } from "../base/json-pointer.ts";
import { err, ok, type Result } from "../base/result.ts";
import { isFault } from "../errors.ts";
import { NoEffect, ToolRefusal, type Tool, type ToolContext } from "../tool.ts";
import { createArgumentCheck, type ArgumentCheck } from "./arguments.ts";
import { annotationsOf, effectOf, isIdempotent } from "./effect.ts";
import { ErrorReply, LostReply, NotSent } from "./failure.ts";
import { paramHeaders } from "../request/param-headers.ts";
import { roundParams, splitRound } from "../request/round.ts";
import type { Pin } from "./lock.ts";
import type { Pool, Upstream } from "./pool.ts";
import { gather, guardOf } from "./preview.ts";
import type { UpstreamRegistration } from "./registration.ts";
import { fullName, textOf } from "./definition.ts";

// One accepted definition of another server, as a tool of the gate.
//
//   D2. The plan names server, tool, definition and arguments; what is sent are the plan's arguments and no others.
//   R1. Nothing is sent to a tool whose live definition is not the accepted one, nor over another connection than that
//       which listed it. A read may rest on a list a second old. A change that policy allowed, and that runs straight from
//       its own preview, may rest on the list which that asked for, within the same second (U6). Everything else, which
//       is whatever people were waited for, rests on one that was asked for after the moment it may run.
//   X2. An answer of the server is an outcome whatever it says. No answer is *unknown*; only what certainly never left
//       here is *failed*. A read the operator vouches for changes nothing, so for it no answer is *failed* too.

export const REFUSALS = {
  definition_changed:
    "the server's definition of this tool is not the one that was accepted, so nothing is sent to it; the operator looks at it with countersign upstream diff, and takes it with countersign upstream accept",
  upstream_unavailable: "the server behind this tool can't be reached now; call again later",
  upstream_refused: "the server behind this tool turned the gateway away; the operator's log has the cause",
  upstream_silent: "the server behind this tool gave no answer that can be used; call again later",
  dry_run_failed: "the server refused the dry run of this call; correct the arguments",
  preview_too_large: "what the server answered to the preview is too large to be shown",
} as const;

const LIST_AGE_MS = 1_000;
const DEFAULT_TIMEOUT_MS = 15 * 60_000;
const PREVIEW_TIMEOUT_MS = 100_000;

export interface UpstreamToolParts {
  readonly alias: string;
  readonly entry: UpstreamRegistration;
  readonly pin: Pin;
  readonly pins: Readonly<Record<string, Pin>>;
  readonly pool: () => Promise<Pool>;
}

/** What is sealed for a call that is no vouched read. */
interface Plan {
  readonly upstream: string;
  readonly tool: string;
  readonly definition: string;
  readonly arguments: JsonObject;
}

/** The tool, or why there can be none. */
export function makeUpstreamTool(name: string, parts: UpstreamToolParts): Result<Tool, string> {
  const { alias, entry, pin } = parts;
  const own = Object.hasOwn(entry.tools, pin.tool) ? entry.tools[pin.tool] : undefined;
  const problem = entryProblem(parts, own);
  if (problem !== null) return err(problem);
  const effect = effectOf(entry, pin.tool, pin.definition);
  const isRead = effect === "read";
  const inputSchema = pin.definition["inputSchema"] as JsonObject;
  const environment = own?.environment ?? entry.environment;
  const timeoutMs = own?.timeout ?? DEFAULT_TIMEOUT_MS;
  let check: ArgumentCheck | null = null;
  /** What calls of this tool rest on: another tool's entry may change and this one's requests stand. */
  const registration = canonicalCopy({
    upstream: alias,
    entry: {
      ...entry,
      tools: entriesOf(entry, [pin.tool, ...(own?.before === undefined ? [] : [own.before.tool])]),
    },
    pin: pin.digest,
  } as unknown as Json);

  const upstream = async (): Promise<Upstream> => (await parts.pool()).upstream(alias, entry);
  const pinOf = (tool: string): Pin | undefined =>
    tool === pin.tool ? pin : parts.pins[fullName(alias, tool)];
  /** R1 */
  const demand = async (line: Upstream, tools: readonly string[], maxAgeMs: number): Promise<number> => {
    const { definitions, over } = await line.list(maxAgeMs);
    for (const tool of tools) {
      const pinned = pinOf(tool);
      if (definitions.get(tool)?.digest !== pinned?.digest || pinned === undefined) {
        throw new ToolRefusal("definition_changed", `${alias}: ${tool}`);
      }
    }
    return over;
  };
  const used = own?.before === undefined ? [pin.tool] : [pin.tool, own.before.tool];

  /** Everything that can go wrong before a grant has a code of ours (P4). */
  const refusing = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (error instanceof NotSent) throw new ToolRefusal(error.code, error.message);
      if (error instanceof LostReply || error instanceof ErrorReply) {
        throw new ToolRefusal("upstream_silent", error.message);
      }
      throw error;
    }
  };
  const look = (args: JsonObject, ctx: ToolContext) =>
    refusing(async () => {
      const line = await upstream();
      const over = await demand(line, used, 0);
      return gather(own, args, (tool, given) =>
        line.request(
          "tools/call",
          { name: tool === "" ? pin.tool : tool, arguments: given },
          {
            over,
            signal: ctx.signal,
            timeoutMs: PREVIEW_TIMEOUT_MS,
            headers: paramHeaders(pinOf(tool === "" ? pin.tool : tool)?.definition["inputSchema"], given),
          },
        ),
      );
    });
  const argumentsOf = (plan: Json): JsonObject => {
    // The plan of a read is its arguments, whatever they look like.
    if (isRead) return plan as JsonObject;
    const sealed = plan as unknown as Plan;
    if (sealed.upstream !== alias || sealed.tool !== pin.tool || sealed.definition !== pin.digest) {
      throw new NoEffect("plan_of_another", "the sealed plan is not of this tool as it is accepted now");
    }
    return sealed.arguments;
  };

  return ok({
    name,
    title: textOf(pin.definition["title"]) ?? textOf(annotationsOf(pin.definition)["title"]) ?? name,
    description: textOf(pin.definition["description"]) ?? "",
    idempotent: isIdempotent(entry, pin.tool, pin.definition),
    inputSchema,
    outputSchema: (pin.definition["outputSchema"] ?? {}) as JsonObject,
    fixedEffect: effect,
    definition: digestJson("tool", {
      upstream: alias,
      pin: pin.digest,
      effect,
      environment,
      entry: own ?? null,
      // The evidence is what this one answers: one that was accepted anew makes other evidence (D3).
      ...(own?.before === undefined ? {} : { before: pinOf(own.before.tool)?.digest ?? null }),
    }),
    refusals: REFUSALS,
    canReconcile: false,
    canRevoke: false,
    upstream: { alias, definition: pin.definition },
    isCheapToPreview: own?.before === undefined && own?.dry_run === undefined,
    parseInput(value) {
      check ??= createArgumentCheck(inputSchema);
      const input = value as JsonObject;
      const issues = check(isRead ? splitRound(input).args : input);
      return issues.length === 0 ? { ok: true, input } : { ok: false, issues };
    },
    effect: () => effect,
    targets: () => [{ kind: "tool", id: name, environment }],
    registration: () => registration,
    async preview(input, ctx) {
      const evidence = await look(input, ctx);
      const plan: Plan = { upstream: alias, tool: pin.tool, definition: pin.digest, arguments: input };
      return {
        plan: isRead ? input : (plan as unknown as JsonObject),
        guard: guardOf(pin.digest, input, evidence.seen),
        expiresAt: null,
        view: {
          summary: `call ${pin.tool} of ${alias}`.slice(0, 300),
          verb: "CALL",
          changes: [{ op: "execute", resource: name, before: null, after: null }],
          counts: {},
          facts: {},
          warnings: evidence.warnings,
          documents: evidence.documents,
          complete: true,
          reversible: "not known: the server says nothing about undoing it",
          fidelity: evidence.fidelity,
        },
      };
    },
    async guard(plan, ctx) {
      const args = argumentsOf(plan);
      return guardOf(pin.digest, args, (await look(args, ctx)).seen);
    },
    async execute(plan, ctx) {
      const { args, round } = isRead
        ? splitRound(argumentsOf(plan))
        : { args: argumentsOf(plan), round: null };
      const { line, over } = await notSent(async () => {
        const live = await upstream();
        const maxAgeMs = isRead || ctx.follows === "own_preview" ? LIST_AGE_MS : 0;
        return { line: live, over: await demand(live, [pin.tool], maxAgeMs) };
      });
      const result = await answerOf(isRead, () =>
        line.request(
          "tools/call",
          { name: pin.tool, arguments: args, ...roundParams(round) },
          {
            over,
            signal: ctx.signal,
            timeoutMs,
            headers: paramHeaders(inputSchema, args),
            meta: {
              ...asking(ctx),
              ...tracing(ctx),
              "dev.countersign/request": ctx.requestId,
              "dev.countersign/idempotencyKey": ctx.idempotencyKey,
            },
            progress: (message) => ctx.progress(message),
          },
        ),
      ).catch((error: unknown) => {
        if (error instanceof NotSent) throw new NoEffect(error.code, REFUSALS[error.code], { cause: error });
        if (isRead && error instanceof LostReply) {
          throw new NoEffect("upstream_silent", error.message, { cause: error });
        }
        throw error;
      });
      return { output: result, undo: null };
    },
    revoke: () => Promise.resolve(),
    reconcile: () => Promise.resolve("unknown"),
  });
}

/** What certainly comes before anything is sent: whatever fails in it, nothing happened. */
export async function notSent<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ToolRefusal) {
      const words = Object.hasOwn(REFUSALS, error.code) ? REFUSALS[error.code as keyof typeof REFUSALS] : "";
      throw new NoEffect(error.code, words, { cause: error });
    }
    // The cause names files and variables of the operator's: it is for the log, the words are for the agent (P4).
    const code = error instanceof NotSent ? error.code : "upstream_silent";
    throw new NoEffect(code, REFUSALS[code], { cause: error });
  }
}

/** The trace that the call is part of. */
export const tracing = ({ trace }: ToolContext): JsonObject =>
  trace === undefined ? {} : { traceparent: trace };

/** What the server may ask of the agent's side, in the protocol's words. */
export const asking = ({ asks }: ToolContext): JsonObject =>
  asks === undefined ? {} : { "io.modelcontextprotocol/clientCapabilities": asks };

/** The answer, marked as another server's, so that it is passed on as it is. */
export async function answerOf(isRead: boolean, ask: () => Promise<JsonObject>): Promise<Json> {
  try {
    const result = await ask();
    // A read may ask: nothing was done yet, and an answer makes it another read. What people approved has no more to ask.
    if (result["resultType"] === "input_required" && !isRead) {
      throw new LostReply("the server asks for more input, which is not passed on; it may have begun to act");
    }
    if (result["resultType"] === "task" || (result["content"] === undefined && isTask(result["task"]))) {
      throw new LostReply("the server answered with a task, which is not followed; it may be acting now");
    }
    return passedOn({ result });
  } catch (error) {
    if (error instanceof ErrorReply) return passedOn({ error: error.error as Json });
    throw error;
  }
}

/** CreateTaskResult of 2025-11-25, which nobody asked for. */
const isTask = (value: Json | undefined): boolean => isJsonObject(value) && Object.hasOwn(value, "taskId");

function passedOn(answer: { readonly result: JsonObject } | { readonly error: Json }): Json {
  try {
    return canonicalCopy({ typ: "countersign.upstream", v: 1, ...answer } as Json);
  } catch (error) {
    if (!isFault(error, "ARGUMENTS_UNREPRESENTABLE")) throw error;
    // It answered, and that much is certain. A number that would come out as another one is not passed on.
    const text = `The server answered with what can't be passed on unchanged: ${error.message}`;
    return {
      typ: "countersign.upstream",
      v: 1,
      result: { content: [{ type: "text", text }], isError: true },
    };
  }
}

const entriesOf = (
  { tools }: UpstreamRegistration,
  names: readonly string[],
): UpstreamRegistration["tools"] =>
  Object.fromEntries(Object.entries(tools).filter(([name]) => names.includes(name)));

/** What is wrong with the operator's entry, seen against the accepted definitions. */
function entryProblem(
  { alias, entry, pin, pins }: UpstreamToolParts,
  own: UpstreamRegistration["tools"][string] | undefined,
): string | null {
  const properties = ((pin.definition["inputSchema"] as JsonObject)["properties"] ?? {}) as JsonObject;
  if (own?.dry_run !== undefined && !Object.hasOwn(properties, own.dry_run.argument)) {
    return `dry_run names the argument "${own.dry_run.argument}", which the tool does not have`;
  }
  if (own?.dry_run !== undefined) {
    // A value that the tool does not understand may be passed over, and the try be the real thing (G1).
    const { argument, value } = own.dry_run;
    const check = createArgumentCheck({
      ...(pin.definition["inputSchema"] as JsonObject),
      required: [],
    });
    const wrong = check({ [argument]: value as Json }).find(({ path }) =>
      path.startsWith(pointerStep(argument)),
    );
    if (wrong !== undefined) return `dry_run's value is none for "${argument}": ${wrong.message}`;
  }
  if (own?.before === undefined) return null;
  const looks = pins[fullName(alias, own.before.tool)];
  if (looks === undefined) return `before names the tool "${own.before.tool}", which is not accepted`;
  if (effectOf(entry, own.before.tool, looks.definition) !== "read") {
    return `before names the tool "${own.before.tool}", which is no read: vouch for it, or give it effect: read (G1)`;
  }
  return null;
}
