import { Environment, EvaluationError, type ASTNode } from "@marcbachmann/cel-js";
import { RE2JS } from "re2js";
import type { Json, JsonObject } from "../base/canonical-json.ts";
import { checkAst, type ConditionProblem } from "./cel-check.ts";
import { declareShape, GATE_VARIABLES, shapeOfSchema, UNKNOWN_ARGUMENTS, type Shape } from "./cel-shape.ts";
import { globMatcher } from "./glob.ts";
import type { PolicyInput, ToolFacts } from "./policy.ts";
import { isAnchored } from "./regex.ts";

// The engine behind `when`: @marcbachmann/cel-js, thin enough to swap, with what it lacks added.
//
//   E1. Arguments come from an attacker. Whatever they hold, a condition stays cheap: patterns run on RE2
//       (no backtracking), texts and lists that a condition walks are capped, comprehensions don't nest.
//   E2. What can be known wrong at load is refused at load: types, fields, functions, patterns.
//   E3. An evaluation never throws. It gives true, false or an error, and the rule decides what an error means.
//   E4. No message repeats a value of the call: messages end up in the log (L3).

const LIMITS = {
  maxAstNodes: 500,
  maxDepth: 40,
  maxListElements: 500,
  maxMapEntries: 100,
  maxCallArguments: 8,
};
/** Items of a list or keys of a map that a comprehension may walk. */
export const MAX_WALKED_ITEMS = 1_000;
/** Characters of a text that `regex` and `glob` look at. */
export const MAX_MATCHED_TEXT = 64 * 1024;

export interface ConditionError {
  /** `no_such_key`, `no_such_overload`, `not_bool`, `no_target`, … */
  readonly code: string;
  readonly message: string;
  /** Offset into the condition's text. */
  readonly offset: number;
}

/** A compiled `when`. */
export interface Condition {
  readonly text: string;
  /** Mentions `preview`: undecided in the first pass. */
  readonly isLate: boolean;
  /** Mentions `environment` or `target`: evaluated once per target. */
  readonly isPerTarget: boolean;
  /** Mentions `claims`: what the agent's side says of itself (P2). */
  readonly mentionsClaims: boolean;
  /** Field paths it reads, such as `preview.counts.delete`, in order of appearance. */
  readonly reads: readonly string[];
  evaluate(facts: Facts): boolean | ConditionError;
}

export interface CompiledCondition {
  /** Null where there are problems. */
  readonly condition: Condition | null;
  readonly problems: readonly ConditionProblem[];
  /** Reads of arguments that a call may leave out, without a `has`. */
  readonly unguarded: readonly { readonly path: string; readonly offset: number }[];
  /** Regular expressions that match anywhere in a text. */
  readonly unanchored: readonly { readonly pattern: string; readonly offset: number }[];
  /** Offset of the first mention of a claim; null where there is none (P2). */
  readonly claimAt: number | null;
}

export interface ConditionEngine {
  /** `tools`: the tools the rule names exactly; empty where it doesn't. */
  compile(text: string, tools: readonly ToolFacts[]): CompiledCondition;
}

export function createConditionEngine(): ConditionEngine {
  const patterns = new Map<string, RE2JS>();
  const globs = new Map<string, (text: string) => boolean>();
  const base = new Environment({ homogeneousAggregateLiterals: false, limits: LIMITS });
  const sync = { async: false };
  base.registerFunction(
    "string.regex(string): bool",
    (text: string, p: string) => patterns.get(p)!.test(matchable(text)),
    sync,
  );
  base.registerFunction(
    "string.glob(string): bool",
    (text: string, p: string) => globs.get(p)!(matchable(text)),
    sync,
  );

  // Checked against types, evaluated without: an argument that doesn't fit its schema was refused long before, and
  // a call to a tool whose schema changed since must fail closed in the rule, not in the engine.
  const runtime = base.clone();
  for (const [name, shape] of Object.entries(GATE_VARIABLES)) {
    runtime.registerVariable(name, shape.kind === "text" ? "string" : "dyn");
  }
  runtime.registerVariable("args", "dyn");

  const checkers = new Map<
    string | null,
    { readonly env: Environment; readonly variables: Record<string, Shape> }
  >();
  const checkerFor = (tool: ToolFacts | null): { env: Environment; variables: Record<string, Shape> } => {
    const key = tool?.name ?? null;
    const known = checkers.get(key);
    if (known) return known;
    const variables = { ...GATE_VARIABLES, args: tool ? shapeOfSchema(tool.inputSchema) : UNKNOWN_ARGUMENTS };
    const env = base.clone();
    for (const [name, shape] of Object.entries(variables)) {
      env.registerVariable(name, declareShape(env, `Of_${name}`, shape));
    }
    const checker = { env, variables };
    checkers.set(key, checker);
    return checker;
  };

  return {
    compile(text, tools) {
      const nothing = { condition: null, unguarded: [], unanchored: [], claimAt: null };
      let run: ReturnType<Environment["parse"]>;
      try {
        run = runtime.parse(text);
      } catch (error) {
        return { ...nothing, problems: [engineProblem(error, text)] };
      }
      const problems: ConditionProblem[] = [];
      const unguarded: CompiledCondition["unguarded"][number][] = [];
      let facts: ReturnType<typeof checkAst> | undefined;
      for (const tool of tools.length === 0 ? [null] : tools) {
        const checker = checkerFor(tool);
        facts = checkAst(run.ast, text, checker.variables, tool?.name ?? null);
        problems.push(...facts.problems);
        unguarded.push(...facts.unguarded);
        if (facts.problems.length > 0) continue;
        const checked = checker.env.check(text);
        if (!checked.valid) problems.push(engineProblem(checked.error, text));
        else if (checked.type !== "bool" && checked.type !== "dyn") {
          problems.push({ offset: 0, message: `gives ${checked.type}, not true or false`, suggestion: null });
        }
      }
      if (facts === undefined || problems.length > 0) return { ...nothing, problems };
      for (const pattern of facts.regexes.keys()) patterns.set(pattern, RE2JS.compile(pattern));
      for (const pattern of facts.globs) globs.set(pattern, globMatcher(pattern));
      run.check();
      return {
        condition: {
          text,
          isLate: facts.mentions.has("preview"),
          isPerTarget: facts.mentions.has("environment") || facts.mentions.has("target"),
          mentionsClaims: facts.claimAt !== null,
          reads: facts.reads,
          evaluate: evaluator(run, text, facts.hasComprehension),
        },
        problems,
        unguarded,
        unanchored: [...facts.regexes]
          .filter(([pattern]) => !isAnchored(pattern))
          .map(([pattern, offset]) => ({ pattern, offset })),
        claimAt: facts.claimAt,
      };
    },
  };
}

function matchable(text: string): string {
  if (text.length <= MAX_MATCHED_TEXT) return text;
  throw new EvaluationError({ code: "text_too_long", message: "text too long to match" });
}

function evaluator(
  run: (facts: object) => unknown,
  text: string,
  hasComprehension: boolean,
): (facts: Facts) => boolean | ConditionError {
  return (facts) => {
    try {
      // The lists of the call are measured when they are converted, so touch them before deciding.
      if (hasComprehension && facts.longest() > MAX_WALKED_ITEMS) {
        return { code: "list_too_long", message: `more than ${MAX_WALKED_ITEMS} items to walk`, offset: 0 };
      }
      const value = run(facts.variables);
      if (typeof value === "boolean") return value;
      return { code: "not_bool", message: "gives neither true nor false", offset: 0 };
    } catch (error) {
      return runtimeError(error, text);
    }
  };
}

interface EngineFault {
  readonly code?: unknown;
  readonly summary?: unknown;
  readonly range?: { readonly start: number };
  readonly node?: Partial<ASTNode>;
}

function runtimeError(error: unknown, text: string): ConditionError {
  const fault = error as EngineFault;
  const code = typeof fault.code === "string" ? fault.code : "evaluation_error";
  const offset = fault.range?.start ?? 0;
  const start = fault.node?.start ?? offset;
  const snippet = text.slice(start, fault.node?.end ?? text.length).trim() || text;
  switch (code) {
    case "no_such_key":
      return { code, message: `${snippet} is missing`, offset };
    case "index_out_of_bounds":
      return { code, message: `${snippet} is out of range`, offset };
    case "unknown_variable":
      if (snippet === "preview") return { code: "no_preview", message: "there is no preview yet", offset };
      return { code: "no_target", message: `the call has no target for ${snippet}`, offset };
    case "no_such_overload":
    case "no_matching_overload":
    case "invalid_logical_operand":
    case "invalid_condition_type":
      return { code, message: `${snippet} does not fit the values it got`, offset };
    case "text_too_long":
      return { code, message: `${snippet} looks at more than ${MAX_MATCHED_TEXT} characters`, offset };
    default:
      return { code, message: `${snippet} could not be evaluated`, offset };
  }
}

function engineProblem(error: unknown, text: string): ConditionProblem {
  const fault = error as EngineFault;
  const summary = typeof fault.summary === "string" ? fault.summary : "could not be read";
  const offset = Math.min(fault.range?.start ?? 0, text.length);
  return { offset, message: summary.charAt(0).toLowerCase() + summary.slice(1), suggestion: null };
}

/** The variables of one call, made when they are first read. `environment` and `target` are set target by target. */
export interface Facts {
  readonly variables: Record<string, unknown>;
  /** Length of the longest list or map of the call. */
  longest(): number;
  setTarget(target: PolicyInput["targets"][number] | null): void;
}

export function createFacts(input: PolicyInput): Facts {
  let longest = 0;
  const measure = (length: number): void => {
    if (length > longest) longest = length;
  };
  let args: unknown;
  let preview: unknown;
  const variables = {
    tool: input.tool,
    effect: input.effect,
    agent: input.agent ?? undefined,
    principal: input.principal ?? undefined,
    gate: input.gate,
    environment: undefined as string | undefined,
    target: undefined as unknown,
    get targets(): unknown {
      measure(input.targets.length);
      return input.targets;
    },
    get args(): unknown {
      return (args ??= toCel(input.args, measure));
    },
    get preview(): unknown {
      return (preview ??=
        input.preview === null ? undefined : toCel(input.preview as unknown as JsonObject, measure));
    },
    get claims(): unknown {
      const { justification, reasoning, client } = input.claims;
      return {
        reasoning,
        ...(justification === null ? {} : { justification }),
        ...(client === null ? {} : { client }),
      };
    },
  };
  return {
    variables,
    longest() {
      void variables.args;
      void variables.preview;
      measure(input.targets.length);
      return longest;
    },
    setTarget(target) {
      variables.environment = target === null || target.environment === "" ? undefined : target.environment;
      variables.target = target ?? undefined;
    },
  };
}

// CEL has whole numbers and doubles; JSON has one kind. A whole one becomes an int, or `args.rows + 1` would fail.
function toCel(value: Json, measure: (length: number) => void): unknown {
  switch (typeof value) {
    case "number":
      return Number.isInteger(value) ? BigInt(value) : value;
    case "object": {
      if (value === null) return null;
      if (Array.isArray(value)) {
        measure(value.length);
        return value.map((item: Json) => toCel(item, measure));
      }
      const entries = Object.entries(value as JsonObject);
      measure(entries.length);
      // A Map, so that a key such as `constructor` is a key and nothing else.
      return new Map(entries.map(([key, item]) => [key, toCel(item, measure)]));
    }
    default:
      return value;
  }
}
