import { canonicalJson, type Json, type JsonObject } from "../base/canonical-json.ts";
import { digestJson, type Digest } from "../base/digest.ts";
import { err, ok, type Result } from "../base/result.ts";
import { isFault } from "../errors.ts";

// One tool as its server defines it: everything it says of it, unknown fields included. Its digest is what is pinned.

export interface Definition {
  readonly name: string;
  readonly digest: Digest;
  /** As it was listed, in canonical key order. */
  readonly document: JsonObject;
}

/** Two underscores: no name of our own has them, so nothing of an upstream can stand in for a tool of ours. */
export const fullName = (alias: string, tool: string): string => `${alias}__${tool}`;

/** The name that agents call it by. */
export const publishedName = (
  { prefix }: { readonly prefix?: "none" | undefined },
  alias: string,
  tool: string,
): string => (prefix === "none" ? tool : fullName(alias, tool));

/** MCP 2026-07-28, tool names. */
const TOOL_NAME = /^[A-Za-z0-9_.-]{1,128}$/;
const MAX_DEFINITION_BYTES = 512 * 1024;

export const definitionDigest = (document: JsonObject): Digest =>
  digestJson("tool", { upstream_definition: document });

/** Reads one item of `tools/list`; the error says why it can't be pinned. */
export function readDefinition(alias: string, item: unknown): Result<Definition, string> {
  if (typeof item !== "object" || item === null || Array.isArray(item)) return err("is no object");
  const name = (item as { readonly name?: unknown }).name;
  if (typeof name !== "string") return err("has no name");
  if (!TOOL_NAME.test(name)) return err("has a name outside [A-Za-z0-9_.-]{1,128}");
  if (fullName(alias, name).length > 128) {
    return err(
      `has a name of ${name.length} characters; with "${alias}__" before it, at most 128 are possible`,
    );
  }
  try {
    const text = canonicalJson(item);
    if (Buffer.byteLength(text) > MAX_DEFINITION_BYTES) {
      return err(`has a definition of more than ${MAX_DEFINITION_BYTES} bytes`);
    }
    const document = JSON.parse(text) as JsonObject;
    return ok({ name, digest: definitionDigest(document), document });
  } catch (error) {
    if (!isFault(error, "ARGUMENTS_UNREPRESENTABLE")) throw error;
    return err(`has a definition that can't be pinned: ${error.message}`);
  }
}

export interface Listed {
  readonly definitions: ReadonlyMap<string, Definition>;
  /** Tools that are left out, by the name they gave or their place, with the reason. */
  readonly problems: readonly { readonly tool: string; readonly why: string }[];
}

/**
 * Reads lists of one server. A name that stands twice is left out: which of the two would run could not be said. What is
 * listed again as it was is not hashed again.
 */
export function createListReader(alias: string): (items: readonly unknown[]) => Listed {
  let known = new Map<string, ReturnType<typeof readDefinition>>();
  return (items) => {
    const definitions = new Map<string, Definition>();
    const problems: { tool: string; why: string }[] = [];
    const seen = new Set<string>();
    const next: typeof known = new Map();
    for (const [i, item] of items.entries()) {
      const given = (item as { readonly name?: unknown } | null)?.name;
      const label = typeof given === "string" ? given.slice(0, 128) : `#${i}`;
      if (typeof given === "string" && seen.has(given)) {
        if (definitions.delete(given)) problems.push({ tool: label, why: "is listed more than once" });
        continue;
      }
      if (typeof given === "string") seen.add(given);
      const text = JSON.stringify(item);
      const read = known.get(text) ?? readDefinition(alias, item);
      next.set(text, read);
      if (read.ok) definitions.set(read.value.name, read.value);
      else problems.push({ tool: label, why: read.error });
    }
    known = next;
    return { definitions, problems };
  };
}

export const textOf = (value: Json | undefined): string | null => (typeof value === "string" ? value : null);
