import * as z from "zod";
import type { Json, JsonObject } from "../base/canonical-json.ts";
import { isDigest, type Digest } from "../base/digest.ts";
import { err, ok, type Result } from "../base/result.ts";
import { schemaProblem } from "./arguments.ts";
import { definitionDigest, fullName, readDefinition } from "./definition.ts";

// tools.lock.json: the definitions that the operator accepted, kept beside countersign.yaml and meant for review in
// git. It is a proposal like that file; what counts is what was adopted of it (P6).

export const LOCK_FILE = "tools.lock.json";

/** One accepted definition, as it is adopted: `pins` of the registrations, by full name. */
export interface Pin {
  readonly upstream: string;
  readonly tool: string;
  readonly digest: Digest;
  readonly definition: JsonObject;
}
export type Pins = Readonly<Record<string, Pin>>;

export interface Lock {
  readonly version: 1;
  readonly upstreams: Readonly<
    Record<
      string,
      {
        readonly tools: Readonly<
          Record<string, { readonly digest: Digest; readonly definition: JsonObject }>
        >;
      }
    >
  >;
}

export const EMPTY_LOCK: Lock = { version: 1, upstreams: {} };

const schema = z.strictObject({
  version: z.literal(1),
  upstreams: z.record(
    z.string(),
    z.strictObject({
      tools: z.record(
        z.string(),
        z.strictObject({ digest: z.string().refine(isDigest, "a digest is expected"), definition: z.json() }),
      ),
    }),
  ),
});

/** Reads the file's text. Each definition has to have the digest that stands beside it. */
export function parseLock(text: string, file: string): Result<Lock, readonly string[]> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return err([`${file}: is no JSON; write it with: countersign upstream accept`]);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) {
    return err(parsed.error.issues.map((issue) => `${file}: ${issue.path.join(".")}: ${issue.message}`));
  }
  const errors: string[] = [];
  for (const [alias, { tools }] of Object.entries(parsed.data.upstreams)) {
    for (const [tool, { digest, definition }] of Object.entries(tools)) {
      const at = `${file}: upstreams.${alias}.tools.${tool}`;
      const read = readDefinition(alias, definition);
      if (!read.ok) errors.push(`${at}: ${read.error}`);
      else if (schemaProblem(read.value.document["inputSchema"]) !== null) {
        errors.push(
          `${at}: its input schema can't be used: ${schemaProblem(read.value.document["inputSchema"])}`,
        );
      } else if (read.value.name !== tool) errors.push(`${at}: its definition is of "${read.value.name}"`);
      else if (definitionDigest(definition as JsonObject) !== digest) {
        errors.push(
          `${at}: the digest is not that of the definition; accept it again: countersign upstream accept`,
        );
      }
    }
  }
  return errors.length > 0 ? err(errors) : ok(parsed.data as Lock);
}

/** Sorted, so that the same definitions are the same bytes whoever writes them. */
export function formatLock(lock: Lock): string {
  return `${JSON.stringify(sorted(lock as unknown as Json), null, 2)}\n`;
}

function sorted(value: Json): Json {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => sorted(item as Json));
  const object = value as JsonObject;
  return Object.fromEntries(
    Object.keys(object)
      .sort()
      .map((key) => [key, sorted(object[key] as Json)]),
  );
}

/** The pins of the servers that are registered. */
export function pinsOf(lock: Lock, aliases: readonly string[]): Pins {
  const pins: Record<string, Pin> = {};
  for (const alias of aliases) {
    const tools = Object.hasOwn(lock.upstreams, alias) ? lock.upstreams[alias]?.tools : undefined;
    for (const [tool, { digest, definition }] of Object.entries(tools ?? {})) {
      pins[fullName(alias, tool)] = { upstream: alias, tool, digest, definition };
    }
  }
  return pins;
}
