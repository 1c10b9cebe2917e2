import { dereference, validate, type Schema, type SchemaDraft } from "@cfworker/json-schema";
import type { Json, JsonObject } from "../base/canonical-json.ts";
import { isJsonObject } from "../base/json-object.ts";
import { headerProblem } from "../request/param-headers.ts";

// Arguments against a schema that another server wrote. The schema is hostile input: it is interpreted, never compiled
// to code, and evaluating it costs a bounded number of steps.
//
//   A1. Nothing is fetched: a `$ref` that leaves the document makes the tool unusable.
//   A2. Nothing is added: no default goes into the arguments. What arrives upstream is what was approved.
//   A3. `pattern`, `patternProperties` and `format` are not checked here, because a regular expression of a stranger can
//       run for years. The server checks them; no rule of ours relies on them.

const MAX_DEPTH = 64;
const MAX_STEPS = 100_000;
/** For a first look at a schema, with no arguments: one that takes more is not worth a second. */
const FIRST_LOOK_STEPS = 5_000;
const MAX_ISSUES = 10;

export type ArgumentIssue = { readonly path: string; readonly message: string };
export type ArgumentCheck = (input: JsonObject) => readonly ArgumentIssue[];

class TooManySteps extends Error {
  override readonly name = "TooManySteps";
}

/** Null where the schema can be used, else why not. */
export function schemaProblem(schema: Json | undefined): string | null {
  if (!isJsonObject(schema)) return "it is no object";
  const root = schema;
  if (root["type"] !== "object") return 'its type is not "object"';
  const { properties, required } = root;
  if (properties !== undefined && !isJsonObject(properties)) return "its properties are no object";
  if (
    required !== undefined &&
    !(Array.isArray(required) && required.every((one) => typeof one === "string"))
  ) {
    return "its list of required properties is none";
  }
  const header = headerProblem(root);
  if (header !== null) return header;
  try {
    const problem = createArgumentCheck(root, FIRST_LOOK_STEPS)({}).find(({ path }) => path === UNUSABLE);
    return problem?.message ?? null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Path of an issue that is about the schema itself. */
const UNUSABLE = "";

/** The check for one schema. Throws where the schema is malformed or leaves its own document. */
export function createArgumentCheck(schema: JsonObject, maxSteps: number = MAX_STEPS): ArgumentCheck {
  let steps = 0;
  const step = (): void => {
    steps += 1;
    if (steps > maxSteps) throw new TooManySteps();
  };
  const copy = prepared(schema, step, 0) as Schema;
  const lookup = dereference(copy) as Lookup;
  demandLocalReferences(lookup);
  const draft = draftOf(schema["$schema"]);
  return (input) => {
    steps = 0;
    try {
      const { valid, errors } = validate(input, copy, draft, lookup, false);
      if (valid) return [];
      // The innermost says what is wrong; those around it only that something is.
      const inner = errors.filter(({ instanceLocation }) =>
        errors.every((other) => !other.instanceLocation.startsWith(`${instanceLocation}/`)),
      );
      return inner
        .slice(0, MAX_ISSUES)
        .map(({ instanceLocation, error }) => ({ path: pointerOf(instanceLocation), message: error }));
    } catch (error) {
      const why =
        error instanceof TooManySteps || error instanceof RangeError
          ? "it takes too many steps to evaluate"
          : error instanceof Error
            ? (error.message.split("\n", 1)[0] ?? "")
            : String(error);
      return [{ path: UNUSABLE, message: `the tool's own schema can't be evaluated: ${why}` }];
    }
  };
}

const pointerOf = (location: string): string => (location === "#" ? "/" : location.slice(1));

/** Keywords whose value maps names to schemas. */
const MAPS = new Set(["properties", "$defs", "definitions", "dependentSchemas", "dependencies"]);
/** Keywords whose value is data and no schema. */
const DATA = new Set(["const", "enum", "default", "examples", "required", "dependentRequired"]);
const UNCHECKED = new Set(["pattern", "format", "patternProperties"]);

/** A copy that counts each evaluation of each of its parts (A3 applied). */
function prepared(schema: Json, step: () => void, depth: number): unknown {
  if (depth > MAX_DEPTH) throw new Error(`it is nested deeper than ${MAX_DEPTH}`);
  if (typeof schema !== "object" || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map((item) => prepared(item as Json, step, depth + 1));
  const copy: Record<string, unknown> = {};
  const given = schema as JsonObject;
  // What a pattern would have let through must not be refused for being "additional".
  const isLoose = given["patternProperties"] !== undefined;
  for (const [key, value] of Object.entries(given)) {
    if (key === "__proto__" || UNCHECKED.has(key) || key === "$ref") continue;
    if (isLoose && (key === "additionalProperties" || key === "unevaluatedProperties")) continue;
    if (DATA.has(key)) copy[key] = value;
    else if (MAPS.has(key) && isJsonObject(value)) {
      copy[key] = Object.fromEntries(
        Object.entries(value).map(([name, inner]) => [name, prepared(inner, step, depth + 1)]),
      );
    } else copy[key] = prepared(value, step, depth + 1);
  }
  // Read once for each evaluation of this part, which is how they are counted.
  Object.defineProperty(copy, "$ref", {
    enumerable: given["$ref"] !== undefined,
    get: () => {
      step();
      return given["$ref"];
    },
  });
  return copy;
}

const DRAFTS: readonly (readonly [RegExp, SchemaDraft])[] = [
  [/draft-04/, "4"],
  [/draft-0[67]/, "7"],
  [/2019-09/, "2019-09"],
];

/** MCP: without `$schema` it is 2020-12. */
const draftOf = (declared: Json | undefined): SchemaDraft =>
  (typeof declared === "string" && DRAFTS.find(([pattern]) => pattern.test(declared))?.[1]) || "2020-12";

type Lookup = Readonly<Record<string, Schema | boolean>>;

/** A1. */
function demandLocalReferences(lookup: Lookup): void {
  for (const part of Object.values(lookup)) {
    if (typeof part === "boolean") continue;
    const { $ref, __absolute_ref__: target } = part;
    if ($ref === undefined) continue;
    if (typeof $ref !== "string") throw new Error("a $ref that is no string");
    if (target === undefined || lookup[target] === undefined) {
      throw new Error(`$ref "${$ref.slice(0, 200)}" leads out of the schema; nothing is fetched`);
    }
  }
}
