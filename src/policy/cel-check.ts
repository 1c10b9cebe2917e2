import type { ASTNode } from "@marcbachmann/cel-js";
import { RE2JS } from "re2js";
import { nearest } from "../base/suggest.ts";
import type { Shape } from "./cel-shape.ts";

// Reads the tree of a condition at load. The engine checks types; this finds what the engine lets through and a gate
// must not: functions outside our list, misspelt fields (also inside `has`), values a field can never have, patterns
// that don't compile, loops in loops. It also collects what the condition mentions.

export interface ConditionProblem {
  /** Offset into the condition's text. */
  readonly offset: number;
  readonly message: string;
  readonly suggestion: string | null;
}

export interface AstFacts {
  readonly problems: ConditionProblem[];
  /** Fields read without a `has` that a call may leave out. */
  readonly unguarded: readonly { readonly path: string; readonly offset: number }[];
  /** Variables it names. */
  readonly mentions: Set<string>;
  readonly claimAt: number | null;
  /** Field paths in order of appearance. */
  readonly reads: string[];
  /** With the offset of each. */
  readonly regexes: Map<string, number>;
  readonly globs: Set<string>;
  readonly hasComprehension: boolean;
}

const FUNCTIONS = new Set(["size", "has"]);
const METHODS = new Set(["startsWith", "endsWith", "contains", "size", "split", "regex", "glob"]);
const LOOPS = new Set(["all", "exists", "exists_one", "filter", "map"]);
const ELSEWHERE: Readonly<Record<string, string>> = {
  matches: "matches() can be made to run for seconds; use regex(), which can't",
  lowerAscii: 'lowerAscii() is not available; use regex("(?i)…")',
  upperAscii: 'upperAscii() is not available; use regex("(?i)…")',
  // The engine reads int("") as 0, and "nan" is smaller and larger than nothing: both would slip through a limit.
  int: "int() is not available; compare numbers as they are, and refuse texts by the tool's schema",
  double: "double() is not available; compare numbers as they are, and refuse texts by the tool's schema",
  timestamp: "times are not available: the same call must always get the same verdict",
};
const MAX_PATTERN = 1_000;
/** Largest whole number that JSON, CEL and a double agree on. */
const MAX_INT = BigInt(Number.MAX_SAFE_INTEGER);

type Scope = ReadonlyMap<string, Shape>;

/** Checks one condition against the variables it may use; `tool` is named in messages about arguments. */
export function checkAst(
  ast: ASTNode,
  text: string,
  variables: Readonly<Record<string, Shape>>,
  tool: string | null,
): AstFacts {
  const problems: ConditionProblem[] = [];
  const mentions = new Set<string>();
  const reads: string[] = [];
  const tested = new Set<string>();
  const optional: { readonly path: string; readonly offset: number }[] = [];
  const regexes = new Map<string, number>();
  const globs = new Set<string>();
  let claimAt: number | null = null;
  let hasComprehension = false;

  const problem = (offset: number, message: string, suggestion: string | null = null): null => {
    problems.push({ offset, message, suggestion });
    return null;
  };
  const source = (node: ASTNode): string => text.slice(node.start, node.end);

  // Gives the shape of a node, or null where it is not known.
  const visit = (node: ASTNode, scope: Scope, loops: number): Shape | null => {
    switch (node.op) {
      case "value":
        return visitLiteral(node);
      case "id":
        return visitName(node, scope);
      case ".":
        return visitField(node, scope, loops);
      case "[]": {
        const [left, key] = node.args;
        visit(key, scope, loops);
        const shape = visit(left, scope, loops);
        if (shape?.kind === "object" && key.op === "value" && typeof key.args === "string") {
          return fieldOf(shape, key.args, key.start, left);
        }
        return shape?.kind === "list" || shape?.kind === "map" ? shape.item : null;
      }
      case "call":
        return visitCall(node, scope, loops);
      case "rcall":
        return visitMethod(node, scope, loops);
      case "==":
      case "!=": {
        const [left, right] = node.args;
        const shapes = [visit(left, scope, loops), visit(right, scope, loops)];
        expectPossible(shapes[0], left, right);
        expectPossible(shapes[1], right, left);
        return { kind: "bool" };
      }
      case "in": {
        const [left, right] = node.args;
        const shape = visit(left, scope, loops);
        visit(right, scope, loops);
        if (right.op === "list") for (const item of right.args) expectPossible(shape, left, item);
        return { kind: "bool" };
      }
      case "list":
        for (const item of node.args) visit(item, scope, loops);
        return null;
      case "map":
        for (const [key, value] of node.args) {
          visit(key, scope, loops);
          visit(value, scope, loops);
        }
        return null;
      case "!_":
      case "-_":
        return visit(node.args, scope, loops);
      case ".?":
      case "[?]":
        return problem(node.start, "optional access is not available; test with has()");
      default:
        for (const part of node.args) visit(part, scope, loops);
        return null;
    }
  };

  const visitLiteral = (node: ASTNode & { op: "value" }): null => {
    const value = node.args;
    if (typeof value === "bigint" && (value > MAX_INT || value < -MAX_INT)) {
      return problem(node.start, "a number beyond ±(2^53−1)");
    }
    if (value !== null && typeof value === "object")
      return problem(node.start, "bytes and unsigned numbers are not available");
    return null;
  };

  const visitName = (node: ASTNode & { op: "id" }, scope: Scope): Shape | null => {
    const inLoop = scope.get(node.args);
    if (inLoop) return inLoop;
    const shape = variables[node.args];
    if (shape === undefined) {
      return problem(node.start, `no variable "${node.args}"`, nearest(node.args, Object.keys(variables)));
    }
    mentions.add(node.args);
    if (node.args === "claims") claimAt ??= node.start;
    return shape;
  };

  const visitField = (node: ASTNode & { op: "." }, scope: Scope, loops: number): Shape | null => {
    const [left, name] = node.args;
    const shape = visit(left, scope, loops);
    const path = source(node);
    if (/^[A-Za-z_]\w*(\.\w+)+$/.test(path) && !scope.has(path.slice(0, path.indexOf(".")))) reads.push(path);
    if (shape?.kind === "map") return shape.item;
    if (shape?.kind === "object") return fieldOf(shape, name, node.pos, left);
    if (shape === null || shape.kind === "any") return null;
    return problem(node.pos, `${source(left)} has no fields`);
  };

  const fieldOf = (
    shape: Shape & { kind: "object" },
    name: string,
    offset: number,
    holder: ASTNode,
  ): Shape | null => {
    const field = shape.fields.get(name);
    const path = source(holder);
    if (field === undefined) {
      const what =
        path === "args" && tool !== null
          ? `${tool} has no argument "${name}"`
          : `${path} has no field "${name}"`;
      return problem(offset, what, nearest(name, shape.fields.keys()));
    }
    if (!field.isRequired) optional.push({ path: `${path}.${name}`, offset });
    return field.shape;
  };

  const visitCall = (node: ASTNode & { op: "call" }, scope: Scope, loops: number): Shape | null => {
    const [name, args] = node.args;
    if (!FUNCTIONS.has(name)) return refuseFunction(node.start, name, FUNCTIONS);
    for (const arg of args) visit(arg, scope, loops);
    if (name === "has" && args[0]) tested.add(source(args[0]));
    return name === "has" ? { kind: "bool" } : null;
  };

  const visitMethod = (node: ASTNode & { op: "rcall" }, scope: Scope, loops: number): Shape | null => {
    const [name, receiver, args] = node.args;
    const at = receiver.end + 1;
    if (LOOPS.has(name)) return visitLoop(at, name, receiver, args, scope, loops);
    if (!METHODS.has(name)) return refuseFunction(at, name, [...METHODS, ...LOOPS]);
    visit(receiver, scope, loops);
    for (const arg of args) visit(arg, scope, loops);
    if (name === "regex" || name === "glob") visitPattern(name, args[0]);
    return name === "split" ? { kind: "list", item: { kind: "text", values: null } } : null;
  };

  const visitLoop = (
    at: number,
    name: string,
    receiver: ASTNode,
    args: readonly ASTNode[],
    scope: Scope,
    loops: number,
  ): Shape | null => {
    hasComprehension = true;
    if (loops > 0) return problem(at, `${name}() inside another loop`);
    const items = visit(receiver, scope, loops);
    if (calls(receiver, "split"))
      problem(receiver.start, "a loop over split(); loop over a list of the call");
    const [variable, ...bodies] = args;
    if (variable?.op !== "id") return problem(at, `${name}() needs a name for its items`);
    if (variables[variable.args])
      return problem(variable.start, `"${variable.args}" is a variable already; use another name`);
    const item: Shape =
      items?.kind === "list"
        ? items.item
        : items?.kind === "map"
          ? { kind: "text", values: null }
          : { kind: "any" };
    const inner = new Map(scope).set(variable.args, item);
    for (const body of bodies) visit(body, inner, loops + 1);
    if (name === "filter") return { kind: "list", item };
    return name === "map" ? { kind: "list", item: { kind: "any" } } : { kind: "bool" };
  };

  const visitPattern = (name: "regex" | "glob", node: ASTNode | undefined): void => {
    if (node?.op !== "value" || typeof node.args !== "string") {
      problem(
        node?.start ?? 0,
        `${name}() takes a pattern written out, so that it is checked when the policy loads`,
      );
      return;
    }
    const pattern = node.args;
    if (pattern.length > MAX_PATTERN) {
      problem(node.start, `a pattern longer than ${MAX_PATTERN} characters`);
      return;
    }
    if (name === "glob") {
      globs.add(pattern);
      return;
    }
    try {
      RE2JS.compile(pattern);
      regexes.set(pattern, node.start);
    } catch (error) {
      problem(
        node.start,
        `not a pattern: ${(error as Error).message.replace(/^error parsing regexp: /, "")}`,
      );
    }
  };

  const expectPossible = (shape: Shape | null | undefined, field: ASTNode, literal: ASTNode): void => {
    if (shape?.kind !== "text" || shape.values === null) return;
    if (literal.op !== "value" || typeof literal.args !== "string" || shape.values.includes(literal.args))
      return;
    problem(
      literal.start,
      `${source(field)} is never "${literal.args}"`,
      nearest(literal.args, shape.values),
    );
  };

  const refuseFunction = (offset: number, name: string, known: Iterable<string>): null => {
    const elsewhere = ELSEWHERE[name];
    if (elsewhere !== undefined) return problem(offset, elsewhere);
    return problem(offset, `no function ${name}()`, nearest(name, known));
  };

  visit(ast, new Map(), 0);
  // An absent claim is meant to count as the worst one, so it needs no test.
  const unguarded = optional.filter(({ path }) => !tested.has(path) && !path.startsWith("claims."));
  return {
    problems,
    unguarded,
    mentions,
    claimAt,
    reads: [...new Set(reads)],
    regexes,
    globs,
    hasComprehension,
  };
}

function calls(node: ASTNode, name: string): boolean {
  if (node.op === "rcall" && node.args[0] === name) return true;
  const parts: unknown[] = Array.isArray(node.args) ? node.args.flat() : [node.args];
  return parts.some((part) => isNode(part) && calls(part, name));
}

const isNode = (part: unknown): part is ASTNode => typeof part === "object" && part !== null && "op" in part;
