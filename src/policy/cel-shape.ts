import type { Environment } from "@marcbachmann/cel-js";
import type { Json } from "../base/canonical-json.ts";
import { EFFECTS } from "../request/action-request.ts";
import { FIDELITIES } from "../preview/fidelity.ts";

// What a condition may look at, as far as it is known before any call: the gate's own variables, and the arguments
// of a tool by its input schema. Used to refuse `args.bukcet` when the policy is loaded instead of at three at night.

export type Shape =
  | { readonly kind: "text"; readonly values: readonly string[] | null }
  | { readonly kind: "int" | "bool" | "any" }
  | { readonly kind: "list" | "map"; readonly item: Shape }
  | { readonly kind: "object"; readonly fields: ReadonlyMap<string, Field> };

export interface Field {
  readonly shape: Shape;
  /** False where a call may leave it out. */
  readonly isRequired: boolean;
}

const ANY: Shape = { kind: "any" };
const TEXT: Shape = { kind: "text", values: null };
const oneOf = (values: readonly string[]): Shape => ({ kind: "text", values });
const object = (required: Record<string, Shape>, optional: Record<string, Shape> = {}): Shape => {
  const fields = new Map<string, Field>();
  for (const [name, shape] of Object.entries(required)) fields.set(name, { shape, isRequired: true });
  for (const [name, shape] of Object.entries(optional)) fields.set(name, { shape, isRequired: false });
  return { kind: "object", fields };
};
const TARGET = object({ kind: TEXT, id: TEXT, environment: TEXT });

/** The variables of `when`, but for `args`. docs/policy.md has the same table. */
export const GATE_VARIABLES: Readonly<Record<string, Shape>> = {
  tool: TEXT,
  effect: oneOf(EFFECTS),
  environment: TEXT,
  target: TARGET,
  targets: { kind: "list", item: TARGET },
  agent: TEXT,
  principal: object({ kind: oneOf(["person", "service"]), id: TEXT }),
  gate: object({ isolation: oneOf(["service", "none"]) }),
  preview: object({
    counts: { kind: "map", item: { kind: "int" } },
    facts: { kind: "map", item: ANY },
    warnings: { kind: "list", item: TEXT },
    fidelity: oneOf(FIDELITIES),
    complete: { kind: "bool" },
  }),
  claims: object({ reasoning: { kind: "bool" } }, { justification: TEXT, client: TEXT }),
};

/** Arguments of a tool that is not known at load: anything goes, and mistakes fail closed at run time. */
export const UNKNOWN_ARGUMENTS: Shape = { kind: "map", item: ANY };

/** The shape of a JSON Schema's values; `any` where the schema says more than we can follow. */
export function shapeOfSchema(schema: Json | undefined): Shape {
  if (schema === null || typeof schema !== "object" || Array.isArray(schema)) return ANY;
  const at = schema as Readonly<Record<string, Json>>;
  const values = at["enum"] ?? (at["const"] === undefined ? undefined : [at["const"]]);
  if (Array.isArray(values)) return values.every((value) => typeof value === "string") ? oneOf(values) : ANY;
  switch (at["type"]) {
    case "string":
      return TEXT;
    case "integer":
      return { kind: "int" };
    case "boolean":
      return { kind: "bool" };
    case "array":
      return { kind: "list", item: shapeOfSchema(at["items"]) };
    case "object":
      return shapeOfObject(at);
    default:
      // "number" too: a whole number arrives as int and any other as double, so only the run can tell.
      return ANY;
  }
}

function shapeOfObject(schema: Readonly<Record<string, Json>>): Shape {
  const properties = schema["properties"] as Readonly<Record<string, Json>> | undefined;
  const additional = schema["additionalProperties"];
  const isOpen = additional !== undefined && additional !== false;
  if (properties === undefined || isOpen)
    return { kind: "map", item: isOpen && !properties ? shapeOfSchema(additional) : ANY };
  const required = new Set(Array.isArray(schema["required"]) ? schema["required"] : []);
  return {
    kind: "object",
    fields: new Map(
      Object.entries(properties).map(([name, property]) => {
        const hasDefault = property !== null && typeof property === "object" && "default" in property;
        return [name, { shape: shapeOfSchema(property), isRequired: required.has(name) || hasDefault }];
      }),
    ),
  };
}

/** Declares a shape in a type-checking environment and gives its CEL type. `name` must be unused there. */
export function declareShape(env: Environment, name: string, shape: Shape): string {
  switch (shape.kind) {
    case "text":
      return "string";
    case "int":
      return "int";
    case "bool":
      return "bool";
    case "any":
      return "dyn";
    case "list":
      return `list<${declareShape(env, `${name}_item`, shape.item)}>`;
    case "map":
      return `map<string, ${declareShape(env, `${name}_item`, shape.item)}>`;
    case "object": {
      const fields: Record<string, string> = {};
      let i = 0;
      for (const [field, { shape: inner }] of shape.fields)
        fields[field] = declareShape(env, `${name}_${i++}`, inner);
      env.registerType(name, { fields });
      return name;
    }
  }
}
