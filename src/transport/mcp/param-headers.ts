// Arguments that a tool's schema repeats in headers (`x-mcp-header`; MCP 2026-07-28, Streamable HTTP, custom headers).
//
// A proxy in front may route or decide by such a header, so one that says something else than the body is refused. The
// body alone is what is judged and run. The SDK checks this only for tools that are registered with it.

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
    if (!isObject(inputSchema)) return null;
    const repeated = read.get(inputSchema) ?? repeatedIn(inputSchema);
    read.set(inputSchema, repeated);
    return mismatch(repeated, args, headerOf);
  };
}

function mismatch(
  repeated: readonly Repeated[],
  args: unknown,
  headerOf: (name: string) => string | undefined,
): string | null {
  for (const { path, header, isNumber } of repeated) {
    const value = path.reduce<unknown>((node, key) => (isObject(node) ? node[key] : undefined), args);
    if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") continue;
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

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

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
  const { "x-mcp-header": header, type, properties } = schema;
  if (path.length > 0 && typeof header === "string" && TOKEN.test(header)) {
    found.push({ path, header, isNumber: type === "integer" || type === "number" });
  }
  if (!isObject(properties) || path.length >= MAX_DEPTH) return;
  for (const [key, child] of Object.entries(properties)) {
    if (isObject(child)) collect(child, [...path, key], found);
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
