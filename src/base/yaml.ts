import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Document,
  type Node,
  type Pair,
  type Scalar,
} from "yaml";
import * as z from "zod";
import type { Json } from "./canonical-json.ts";
import { err, ok, type Result } from "./result.ts";
import { nearest } from "./suggest.ts";
import { readValue, yamlMessage } from "./yaml-value.ts";
import { scalarOffsets, type ScalarStyle } from "./yaml-scalar.ts";

// Reads the YAML files that people write: policy.yaml and countersign.yaml.
//
// A file that two readers could understand differently is refused: duplicate keys, merge keys, keys that aren't text,
// explicit tags, several documents, `%YAML` directives (1.1 would turn `no` into false). Aliases may repeat a value
// within one file, up to a budget, so that a few lines can't expand into a gigabyte.

/** A place in a file, both 1-based; columns count UTF-16 units. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** What is wrong in a file, where, and what was probably meant. */
export interface SourceError extends Place {
  readonly file: string;
  /** `rules[0].quorom`; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
  /** The word that was probably meant; null where none is near. */
  readonly suggestion: string | null;
}

export type YamlPath = readonly (string | number)[];

export interface YamlSource {
  readonly file: string;
  readonly text: string;
  readonly value: Json;
  /** Where the value (or key) of `path` begins; of its nearest parent where it does not exist. */
  locate(path: YamlPath, part?: "key" | "value"): Place;
  /** Translates offsets into the text value at `path` to places in the file. */
  inside(path: YamlPath): (offset: number) => Place;
  /** An error at `path`. */
  error(path: YamlPath, message: string, options?: SourceErrorOptions): SourceError;
}

export interface SourceErrorOptions {
  readonly suggestion?: string | null;
  readonly part?: "key" | "value";
  /** Overrides the place of `path`. */
  readonly at?: Place;
}

/** `policy.yaml:5:5 rules[0].quorom: unknown key; did you mean quorum?` */
export function formatSourceError(error: SourceError): string {
  const where = `${error.file}:${error.line}:${error.column}`;
  const what = error.path === "" ? error.message : `${error.path}: ${error.message}`;
  return `${where} ${what}${error.suggestion === null ? "" : `; did you mean ${error.suggestion}?`}`;
}

/** `["rules", 0, "match", "a b"]` → `rules[0].match["a b"]`. */
export function formatPath(path: YamlPath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(step)) text += text === "" ? step : `.${step}`;
    else text += `[${JSON.stringify(step)}]`;
  }
  return text;
}

const MAX_BYTES = 8 * 1024 * 1024;

/** Parses one YAML file into plain JSON that knows where everything stands. */
export function parseYaml(text: string, file: string): Result<YamlSource, readonly SourceError[]> {
  const lines = new LineCounter();
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const fault = (
    offset: number,
    path: YamlPath,
    message: string,
    suggestion: string | null = null,
  ): SourceError => ({
    file,
    ...placeAt(offset),
    path: formatPath(path),
    message,
    suggestion,
  });
  if (text.length > MAX_BYTES)
    return err([fault(0, [], `the file is larger than ${MAX_BYTES / 1024 / 1024} MiB`)]);
  // With logLevel "silent" the parser would take the first of several documents without a word.
  const document = parseDocument(text, {
    lineCounter: lines,
    version: "1.2",
    prettyErrors: false,
    logLevel: "error",
  });
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) {
    return err(
      broken.map((problem) => fault(problem.pos[0], [], yamlMessage(problem.code, problem.message))),
    );
  }
  if (document.directives?.yaml.explicit === true && document.directives.yaml.version !== "1.2") {
    return err([fault(0, [], "a %YAML directive other than 1.2; remove it")]);
  }

  const errors: SourceError[] = [];
  const value = readValue(document, fault, errors);
  if (errors.length > 0) return err(errors);

  const find = (path: YamlPath, part: "key" | "value"): Node | null => findNode(document, path, part);
  const locate = (path: YamlPath, part: "key" | "value" = "value"): Place =>
    placeAt(find(path, part)?.range?.[0] ?? 0);
  return ok({
    file,
    text,
    value,
    locate,
    inside(path) {
      const node = find(path, "value");
      if (!isScalar(node) || typeof node.value !== "string" || !node.range) return alwaysAt(locate(path));
      const [start, end] = node.range;
      return alongRuns(scalarOffsets(node.value, text.slice(start, end), styleOf(node)), start, placeAt);
    },
    error: (path, message, options = {}) => ({
      file,
      ...(options.at ?? locate(path, options.part)),
      path: formatPath(path),
      message,
      suggestion: options.suggestion ?? null,
    }),
  });
}

// Both closures hold a few numbers and not the parsed document: a policy keeps one per condition for as long as it runs.
function alwaysAt(place: Place): (offset: number) => Place {
  return () => place;
}

function alongRuns(
  offsets: readonly number[],
  start: number,
  placeAt: (offset: number) => Place,
): (offset: number) => Place {
  const runs: { readonly from: number; readonly place: Place }[] = [];
  for (const [i, offset] of offsets.entries()) {
    if (i === 0 || offset !== offsets[i - 1]! + 1) runs.push({ from: i, place: placeAt(start + offset) });
  }
  return pointAlong(runs, offsets.length - 1);
}

function pointAlong(
  runs: readonly { readonly from: number; readonly place: Place }[],
  last: number,
): (offset: number) => Place {
  return (offset) => {
    const at = Math.max(0, Math.min(offset, last));
    const { from, place } = runs.findLast((run) => run.from <= at) ?? runs[0]!;
    return { line: place.line, column: place.column + at - from };
  };
}

function findNode(document: Document.Parsed, path: YamlPath, part: "key" | "value"): Node | null {
  let node: Node | null = document.contents;
  let found: Node | null = node;
  for (const [depth, step] of path.entries()) {
    const holder: Node | null | undefined = isAlias(node) ? node.resolve(document) : node;
    let next: Node | null = null;
    if (isMap(holder)) {
      const pair = (holder.items as Pair<Node, Node | null>[]).find(
        ({ key }) => isScalar(key) && key.value === String(step),
      );
      if (pair === undefined) return found;
      next = pair.value ?? pair.key;
      if (part === "key" && depth === path.length - 1) return pair.key;
      // An empty value has no place of its own, so its key stands for it.
      if (isScalar(pair.value) && pair.value.source === "") next = pair.key;
    } else if (isSeq(holder)) {
      const item: unknown = holder.items[Number(step)];
      if (!isNode(item)) return found;
      next = item;
    } else return found;
    node = next;
    found = node;
  }
  return found;
}

function styleOf(node: Scalar): ScalarStyle {
  switch (node.type) {
    case "QUOTE_SINGLE":
      return "single";
    case "QUOTE_DOUBLE":
      return "double";
    case "BLOCK_LITERAL":
    case "BLOCK_FOLDED":
      return "block";
    default:
      return "plain";
  }
}

/**
 * What a zod schema found, as errors with places. Pass the schema too, and unknown keys get a suggestion.
 * @example `const parsed = schema.safeParse(source.value); if (!parsed.success) sourceErrors(source, parsed.error, schema)`
 */
export function sourceErrors(source: YamlSource, error: z.ZodError, schema?: z.ZodType): SourceError[] {
  return error.issues.flatMap((issue) => issueErrors(source, issue, [], schema)).sort(byPlace);
}

/** Order of the file. */
export const byPlace = (a: Place, b: Place): number => a.line - b.line || a.column - b.column;

function issueErrors(
  source: YamlSource,
  issue: z.core.$ZodIssue,
  base: YamlPath,
  schema: z.ZodType | undefined,
): SourceError[] {
  const path = [...base, ...issue.path.map((step) => (typeof step === "number" ? step : String(step)))];
  const value = valueAt(source.value, path);
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = schema === undefined ? [] : knownKeys(schema, path);
      return issue.keys.map((key) =>
        source.error([...path, key], "unknown key", { part: "key", suggestion: nearest(key, known) }),
      );
    }
    case "invalid_type":
      if (value === undefined) return [source.error(path, `missing; expected ${kindWord(issue.expected)}`)];
      return [source.error(path, `expected ${kindWord(issue.expected)}, got ${describe(value)}`)];
    case "invalid_value": {
      const words = issue.values.map(String);
      const expected = `expected ${orList(words)}`;
      if (value === undefined) return [source.error(path, `missing; ${expected}`)];
      const suggestion = typeof value === "string" ? nearest(value, words) : null;
      return [source.error(path, `${expected}; got ${describe(value)}`, { suggestion })];
    }
    case "invalid_union": {
      const branch = fittingBranch(issue.errors);
      if (branch) return branch.flatMap((inner) => issueErrors(source, inner, path, schema));
      const kinds = issue.errors.flatMap((errors) =>
        errors.flatMap((inner) => (inner.code === "invalid_type" ? [kindWord(inner.expected)] : [])),
      );
      return [source.error(path, `expected ${orList([...new Set(kinds)])}, got ${describe(value)}`)];
    }
    case "invalid_key":
      return issue.issues.map((inner) =>
        source.error(path, `not a valid name: ${inner.message}`, { part: "key" }),
      );
    case "too_small":
    case "too_big":
      return [source.error(path, sizeMessage(issue, value))];
    default:
      return [source.error(path, issue.message)];
  }
}

// A union fails with one list of issues per branch. The branch whose kind fits is the one that was meant.
function fittingBranch(
  branches: readonly (readonly z.core.$ZodIssue[])[],
): readonly z.core.$ZodIssue[] | undefined {
  const isWrongKind = (issue: z.core.$ZodIssue): boolean =>
    issue.code === "invalid_type" && issue.path.length === 0;
  const fitting = branches.filter((issues) => !issues.some(isWrongKind));
  return fitting.length === 1 ? fitting[0] : undefined;
}

function sizeMessage(
  issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig,
  value: Json | undefined,
): string {
  const isSmall = issue.code === "too_small";
  const limit = String(isSmall ? issue.minimum : issue.maximum);
  const bound = isSmall ? `at least ${limit}` : `at most ${limit}`;
  if (issue.origin === "array") return `expected ${bound} of them`;
  if (issue.origin === "string")
    return limit === "1" && isSmall ? "expected some text" : `expected ${bound} characters`;
  return `expected ${bound}, got ${describe(value)}`;
}

const KIND_WORDS: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  record: "a mapping",
  null: "nothing",
};
const kindWord = (kind: string): string => KIND_WORDS[kind] ?? kind;

function describe(value: Json | undefined): string {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a mapping";
  const text = String(value);
  return text.length > 60 ? `"${text.slice(0, 57)}..."` : typeof value === "string" ? `"${text}"` : text;
}

/** `a`, `a or b`, `a, b or c`. */
export function orList(words: readonly string[]): string {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function valueAt(value: Json, path: YamlPath): Json | undefined {
  let at: Json | undefined = value;
  for (const step of path) {
    if (at === null || typeof at !== "object") return undefined;
    at = Object.hasOwn(at, step) ? (at as Readonly<Record<string | number, Json>>)[step] : undefined;
  }
  return at;
}

function knownKeys(schema: z.ZodType, path: YamlPath): string[] {
  let at: z.core.$ZodType[] = [schema];
  for (const step of path)
    at = at.flatMap((type) => branches(type).flatMap((branch) => childOf(branch, step)));
  return at.flatMap(branches).flatMap((type) => (type instanceof z.ZodObject ? Object.keys(type.shape) : []));
}

function branches(type: z.core.$ZodType): z.core.$ZodType[] {
  if (type instanceof z.ZodUnion) return type.options.flatMap(branches);
  if (type instanceof z.ZodPipe) return branches(type.in);
  if (type instanceof z.ZodOptional || type instanceof z.ZodDefault || type instanceof z.ZodNullable) {
    return branches(type.unwrap());
  }
  return [type];
}

function childOf(type: z.core.$ZodType, step: string | number): z.core.$ZodType[] {
  if (type instanceof z.ZodObject) {
    const child: unknown = (type.shape as Record<string, unknown>)[step];
    return child instanceof z.ZodType ? [child] : [];
  }
  if (type instanceof z.ZodRecord) return [type.valueType];
  return type instanceof z.ZodArray ? [type.element] : [];
}
