import * as z from "zod";
import { digestJson, type Digest } from "./base/digest.ts";
import type { Json, JsonObject } from "./base/canonical-json.ts";
import { CountersignError } from "./errors.ts";
import type { ToolView } from "./preview/view.ts";
import { EFFECTS, type Effect, type Target } from "./request/action-request.ts";

// The contract of a tool.
//
// Invariants the gate relies on, and test/contract/tool-kit.ts checks for every tool, a user's own included:
//   T1. `targets` and `registration` are pure: no backend, no credentials, no clock.
//   T2. `preview` changes nothing outside `ctx.workdir` and the tool's own state directory.
//   T3. Two previews of a still world give the same guard; any change the plan relies on alters it.
//   T4. `execute` sees the plan and never the agent's arguments (D2), and refuses a world other than the plan's.
//   T5. `execute` throws NoEffect where it knows that nothing changed; anything else it throws means *unknown*.
//   T6. `revoke` succeeds when there is nothing to revoke.
//   T7. The plan survives JSON and holds no secret.

/** A file sealed with the plan. `execute` reads it back by name, checked against its digest. */
export interface SealedFile {
  readonly name: string;
  readonly type: string;
  readonly bytes: Uint8Array;
}

export interface ToolPreview<P = Json> {
  readonly plan: P;
  readonly view: ToolView;
  readonly files?: readonly SealedFile[];
  readonly guard: string;
  /** Epoch milliseconds after which the plan may not run; null: no end of its own. */
  readonly expiresAt: number | null;
  readonly lease?: {
    readonly undo: Json;
    readonly durationMs: number;
    readonly endsBy: "backend" | "countersign";
  };
}

export interface ToolContext {
  readonly signal: AbortSignal;
  readonly requestId: string;
  /** Same for every attempt at the same grant; pass it on as a client token where the backend takes one. */
  readonly idempotencyKey: string;
  /** Private directory (0700), removed afterwards. */
  readonly workdir: string;
  /** Of a read whose caller is there: what the caller's client says it can be asked. Nobody relies on it (P2). */
  readonly asks?: JsonObject;
  /**
   * Of an execution that policy allowed on the tool's own preview, made in this process a moment ago: what that saw of the
   * world is as new as it gets. Never of one that people were waited for, or that was taken up later.
   */
  readonly follows?: "own_preview";
  /** W3C `traceparent` of whoever asked, to be passed on; it must change nothing (P2). */
  readonly trace?: string;
  /** Epoch milliseconds. */
  now(): number;
  /** A credential by its configured name; previews get read-only names. */
  creds(name: string): Promise<string>;
  /** A sealed file of this request. */
  file(name: string): Promise<Uint8Array>;
  /** One line for the caller's and the approver's progress; neutralised by whoever shows it. */
  progress(message: string): void;
}

export type Reconciled = "done" | "not_done" | "unknown";

/** Thrown by `targets` and `preview`: a code from the tool's own `refusals`, whose words the caller is told (P4). */
export class ToolRefusal extends Error {
  override readonly name = "ToolRefusal";
  readonly code: string;
  /** For the operator's log; the caller never sees it. */
  readonly detail: string;

  constructor(code: string, detail = "") {
    super(detail === "" ? code : `${code}: ${detail}`);
    this.code = code;
    this.detail = detail;
  }
}

/** Thrown by `execute` where it is known that nothing changed: the outcome is *failed*. */
export class NoEffect extends Error {
  override readonly name = "NoEffect";
  readonly code: string;

  constructor(code: string, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export interface ToolSpec<
  I extends z.ZodObject,
  O extends z.ZodType,
  P extends z.ZodType,
  U extends z.ZodType,
> {
  /** verb_noun, snake case, unique and stable: policy is written against it. */
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** Made with z.strictObject: unknown arguments are refused. */
  readonly input: I;
  readonly output: O;
  readonly plan: P;
  readonly undo?: U;
  /** Fixed, or computed from the input; `effects` then lists what it may return. */
  readonly effect: Effect | ((input: z.infer<I>) => Effect);
  readonly idempotent: boolean;
  /** Words for the codes that `targets` and `preview` may refuse with: `{ unknown_ref: "no such ref…" }`. */
  readonly refusals: Readonly<Record<string, string>>;
  targets(input: z.infer<I>): readonly Target[];
  /** The operator's registration this input would run on: resolved, plain JSON. An approval never moves to another. */
  registration?(input: z.infer<I>): Json;
  preview(input: z.infer<I>, ctx: ToolContext): Promise<ToolPreview<z.infer<P>>>;
  guard(plan: z.infer<P>, ctx: ToolContext): Promise<string>;
  execute(
    plan: z.infer<P>,
    ctx: ToolContext,
  ): Promise<{ readonly output: z.infer<O>; readonly undo?: z.infer<U> }>;
  revoke?(undo: z.infer<U>, ctx: ToolContext): Promise<void>;
  reconcile?(plan: z.infer<P>, ctx: ToolContext): Promise<Reconciled>;
}

/** Resources and prompts of another server. Lists are looked up; reading one is a call of the tool like any other. */
export interface Documents {
  readonly method: "resources/read" | "prompts/get" | "completion/complete";
  readonly alias: string;
  /** Stands before the names of its prompts where agents see them. */
  readonly prefix: string;
  /** One page, as the server gives it. */
  list(
    method: "resources/list" | "resources/templates/list" | "prompts/list",
    cursor: string | undefined,
    signal: AbortSignal,
  ): Promise<JsonObject>;
  /** Whether the server lists it, or a pattern that it fits. Rejects where that can't be found out. */
  owns(kind: "resource" | "prompt", id: string): Promise<boolean>;
}

/** A tool as the gate sees it: types erased, every value parsed at the door. */
export interface Tool {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly idempotent: boolean;
  readonly inputSchema: JsonObject;
  readonly outputSchema: JsonObject;
  /** The fixed effect, or null where it depends on the input. */
  readonly fixedEffect: Effect | null;
  /** Digest over everything a caller or an approver relies on. */
  readonly definition: Digest;
  readonly refusals: Readonly<Record<string, string>>;
  readonly canReconcile: boolean;
  readonly canRevoke: boolean;
  /** Its preview reads next to nothing, so the hour's count of previews is not meant for it. */
  readonly isCheapToPreview?: boolean;
  /**
   * Set where it is another server's: its definition as it was accepted, and its result is passed on as it is. With
   * `documents` it is no tool of that server but one of its other methods.
   */
  readonly upstream?: {
    readonly alias: string;
    readonly definition: JsonObject;
    readonly documents?: Documents;
  };
  /** Issues have JSON-pointer paths; the value has the schema's defaults. */
  parseInput(
    value: unknown,
  ):
    | { readonly ok: true; readonly input: JsonObject }
    | { readonly ok: false; readonly issues: readonly { readonly path: string; readonly message: string }[] };
  effect(input: JsonObject): Effect;
  targets(input: JsonObject): readonly Target[];
  registration(input: JsonObject): Json;
  preview(input: JsonObject, ctx: ToolContext): Promise<ToolPreview>;
  guard(plan: Json, ctx: ToolContext): Promise<string>;
  execute(plan: Json, ctx: ToolContext): Promise<{ readonly output: Json; readonly undo: Json | null }>;
  revoke(undo: Json, ctx: ToolContext): Promise<void>;
  reconcile(plan: Json, ctx: ToolContext): Promise<Reconciled>;
}

/**
 * Checks a tool's definition and gives the form the gate runs.
 * @throws CountersignError `TOOL_INVALID`
 */
export function defineTool<
  I extends z.ZodObject,
  O extends z.ZodType,
  P extends z.ZodType,
  U extends z.ZodType,
>(spec: ToolSpec<I, O, P, U>): Tool {
  if (!/^[a-z][a-z0-9]*(_[a-z0-9]+)+$/.test(spec.name) || spec.name.length > 64) {
    throw new CountersignError("TOOL_INVALID", `tool name "${spec.name}" is not verb_noun in snake case`);
  }
  for (const code of Object.keys(spec.refusals)) {
    if (!/^[a-z][a-z0-9_]*$/.test(code)) throw new CountersignError("TOOL_INVALID", `refusal code "${code}"`);
  }
  const inputSchema = jsonSchema(spec.name, "input", spec.input);
  if (inputSchema["additionalProperties"] !== false) {
    throw new CountersignError("TOOL_INVALID", `${spec.name}: input must be made with z.strictObject`);
  }
  const outputSchema = jsonSchema(spec.name, "output", spec.output);
  const effect = spec.effect;
  const fixedEffect = typeof effect === "string" ? effect : null;
  const parsePlan = (plan: Json): z.infer<P> => parseOwn(spec.name, "plan", spec.plan, plan) as z.infer<P>;
  return {
    name: spec.name,
    title: spec.title,
    description: spec.description,
    idempotent: spec.idempotent,
    inputSchema,
    outputSchema,
    fixedEffect,
    refusals: spec.refusals,
    canReconcile: spec.reconcile !== undefined,
    canRevoke: spec.revoke !== undefined,
    definition: digestJson("tool", {
      name: spec.name,
      title: spec.title,
      description: spec.description,
      input: inputSchema,
      output: outputSchema,
      plan: jsonSchema(spec.name, "plan", spec.plan),
      effect: fixedEffect,
      idempotent: spec.idempotent,
    }),
    parseInput(value) {
      const parsed = spec.input.safeParse(value);
      if (parsed.success) return { ok: true, input: parsed.data as JsonObject };
      return {
        ok: false,
        issues: parsed.error.issues.map((issue) => ({
          path: `/${issue.path.map((part) => String(part).replaceAll("~", "~0").replaceAll("/", "~1")).join("/")}`,
          message: issue.message,
        })),
      };
    },
    effect(input) {
      const value = typeof effect === "string" ? effect : effect(input as z.infer<I>);
      if (!EFFECTS.includes(value))
        throw new CountersignError("TOOL_BROKEN", `${spec.name}: effect "${value}"`);
      return value;
    },
    targets: (input) => spec.targets(input as z.infer<I>),
    registration: (input) => spec.registration?.(input as z.infer<I>) ?? null,
    preview: (input, ctx) => spec.preview(input as z.infer<I>, ctx) as Promise<ToolPreview>,
    guard: (plan, ctx) => spec.guard(parsePlan(plan), ctx),
    async execute(plan, ctx) {
      const result = await spec.execute(parsePlan(plan), ctx);
      return { output: result.output as Json, undo: (result.undo as Json | undefined) ?? null };
    },
    async revoke(undo, ctx) {
      if (!spec.revoke || !spec.undo) throw new CountersignError("TOOL_BROKEN", `${spec.name} cannot revoke`);
      await spec.revoke(parseOwn(spec.name, "undo", spec.undo, undo) as z.infer<U>, ctx);
    },
    reconcile: async (plan, ctx) => (spec.reconcile ? spec.reconcile(parsePlan(plan), ctx) : "unknown"),
  };
}

function jsonSchema(tool: string, what: string, schema: z.ZodType): JsonObject {
  try {
    return z.toJSONSchema(schema, { io: "input", target: "draft-2020-12" }) as JsonObject;
  } catch (cause) {
    throw new CountersignError("TOOL_INVALID", `${tool}: ${what} cannot be published as JSON Schema`, {
      cause,
    });
  }
}

function parseOwn(tool: string, what: string, schema: z.ZodType, value: Json): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new CountersignError("TOOL_BROKEN", `${tool}: its ${what} does not match its own schema`, {
    cause: parsed.error,
  });
}
