import { isJsonObject } from "../base/json-object.ts";

// Arguments that a tool's schema repeats in headers (`x-mcp-header`; MCP 2026-07-28, Streamable HTTP, custom headers).
//
// A proxy in front may route or decide by such a header, so one that says something else than the body is refused. The
// body alone is what is judged and run. The SDK does this only for tools that are registered with it, and for calls by
// its typed methods, which lose what they do not know.

type JsonObject = Readonly<Record<string, unknown>>;

interface Repeated {
  readonly path: readonly string[];
  readonly header: string;
  readonly isNumber: boolean;
}

/** What stands between headers and body, in words; null where they agree. */
export type HeaderCheck = (
  inputSchema: unknown,
  args: unknown,
  headerOf: (name: string) => string | undefined,
) => string | null;

/** Reads each schema once. */
export function createHeaderCheck(): HeaderCheck {
  const read = new WeakMap<JsonObject, readonly Repeated[]>();
  return (inputSchema, args, headerOf) => {
    if (!isJsonObject(inputSchema)) return null;
    const repeated = read.get(inputSchema) ?? repeatedIn(inputSchema);
    read.set(inputSchema, repeated);
    return mismatch(repeated, args, headerOf);
  };
}

/** The headers that repeat arguments of a call; there are none for arguments that are absent or null. */
export function paramHeaders(inputSchema: unknown, args: unknown): Readonly<Record<string, string>> {
  if (!isJsonObject(inputSchema)) return {};
  const headers: Record<string, string> = {};
  for (const { path, header } of repeatedIn(inputSchema)) {
    const value = valueAt(path, args);
    if (isPrimitive(value)) headers[`Mcp-Param-${header}`] = encodeHeader(String(value));
  }
  return headers;
}

/** What is wrong with the declarations of a definition, which nobody may call then; null where they are sound. */
export function headerProblem(inputSchema: unknown): string | null {
  const names = new Set<string>();
  const visit = (node: unknown, path: readonly string[], isReached: boolean): string | null => {
    if (path.length > 2 * MAX_DEPTH || typeof node !== "object" || node === null) return null;
    if (Array.isArray(node)) return first(node, (item) => visit(item, [...path, "[]"], false));
    const schema = node as JsonObject;
    if (DECLARATION in schema) {
      const why = declarationProblem(schema, path, isReached, names);
      if (why !== null) return `x-mcp-header of ${path.join(".") || "the schema"} ${why}`;
    }
    return first(Object.entries(schema), ([key, child]) => {
      if (DATA.has(key)) return null;
      if (!MAPS.has(key)) return visit(child, [...path, key], false);
      return isJsonObject(child)
        ? first(Object.entries(child), ([name, inner]) =>
            visit(inner, [...path, name], isReached && key === "properties"),
          )
        : null;
    });
  };
  return visit(inputSchema, [], true);
}

const DECLARATION = "x-mcp-header";
/** Keywords whose value maps names to schemas, and those whose value is no schema. */
const MAPS = new Set(["properties", "$defs", "definitions", "dependentSchemas", "patternProperties"]);
const DATA = new Set(["const", "enum", "default", "examples", "required", "dependentRequired", DECLARATION]);

function declarationProblem(
  { [DECLARATION]: header, type }: JsonObject,
  path: readonly string[],
  isReached: boolean,
  names: Set<string>,
): string | null {
  if (!isReached || path.length === 0) return "stands where no argument has one place of its own";
  if (typeof header !== "string" || !TOKEN.test(header)) return "is no name of a header";
  if (type !== "string" && type !== "integer" && type !== "boolean") {
    return "is for an argument that is no string, integer or boolean";
  }
  if (names.has(header.toLowerCase())) return "is that of another argument too";
  names.add(header.toLowerCase());
  return null;
}

function first<T>(items: readonly T[], problem: (item: T) => string | null): string | null {
  for (const item of items) {
    const found = problem(item);
    if (found !== null) return found;
  }
  return null;
}

function mismatch(
  repeated: readonly Repeated[],
  args: unknown,
  headerOf: (name: string) => string | undefined,
): string | null {
  for (const { path, header, isNumber } of repeated) {
    const value = valueAt(path, args);
    if (!isPrimitive(value)) continue;
    const name = `Mcp-Param-${header}`;
    const given = headerOf(name.toLowerCase());
    if (given === undefined) return `the body has the argument ${path.join(".")}, so ${name} must repeat it`;
    const decoded = decode(given);
    if (decoded === null) return `${name} is not canonical Base64 of UTF-8`;
    const isSame =
      isNumber && typeof value === "number" && DECIMAL.test(decoded)
        ? Number(decoded) === value
        : decoded === String(value);
    if (!isSame) return `${name} and the argument ${path.join(".")} differ`;
  }
  return null;
}

const valueAt = (path: readonly string[], args: unknown): unknown =>
  path.reduce<unknown>(
    (node, key) => (isJsonObject(node) && Object.hasOwn(node, key) ? node[key] : undefined),
    args,
  );

const isPrimitive = (value: unknown): value is string | number | boolean =>
  typeof value === "string" || typeof value === "number" || typeof value === "boolean";

/** Declarations count only along `properties`; one anywhere else makes a definition invalid and binds nobody. */
function repeatedIn(schema: JsonObject): readonly Repeated[] {
  const found: Repeated[] = [];
  collect(schema, [], found);
  return found;
}

/** RFC 9110 §5.6.2 */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const DECIMAL = /^-?\d+(\.\d+)?$/;
const MAX_DEPTH = 64;

function collect(schema: JsonObject, path: readonly string[], found: Repeated[]): void {
  const { [DECLARATION]: header, type, properties } = schema;
  if (path.length > 0 && typeof header === "string" && TOKEN.test(header)) {
    found.push({ path, header, isNumber: type === "integer" || type === "number" });
  }
  if (!isJsonObject(properties) || path.length >= MAX_DEPTH) return;
  for (const [key, child] of Object.entries(properties)) {
    if (isJsonObject(child)) collect(child, [...path, key], found);
  }
}

const WRAPPED = /^=\?base64\?(.*)\?=$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A value as it stands, or what its Base64 wrapping holds; null where that is broken. */
function decode(value: string): string | null {
  const wrapped = WRAPPED.exec(value)?.[1];
  if (wrapped === undefined) return value;
  if (!BASE64.test(wrapped)) return null;
  try {
    return utf8.decode(Buffer.from(wrapped, "base64"));
  } catch {
    return null;
  }
}

/** What a header can't carry as it is, and what would read as wrapped, is wrapped. */
export const encodeHeader = (value: string): string =>
  /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$|^$/.test(value) && !WRAPPED.test(value)
    ? value
    : `=?base64?${Buffer.from(value, "utf8").toString("base64")}?=`;
