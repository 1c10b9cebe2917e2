import type { Json } from "../../src/base/canonical-json.ts";
import { parseYaml } from "../../src/base/yaml.ts";
import { readTemplate, readTokens, UnreadableText, type Token } from "./hcl-tokens.ts";

/** A body of a configuration file: attributes with the words of their values, and blocks. */
export interface Body {
  readonly attributes: readonly {
    readonly name: string;
    readonly value: readonly Token[];
    readonly line: number;
  }[];
  readonly blocks: readonly Block[];
}

export interface Block extends Body {
  readonly type: string;
  readonly labels: readonly string[];
  readonly line: number;
}

/**
 * The blocks of a `.tf` or `.tofu` file.
 * @throws UnreadableText
 */
export function readBlocks(text: string): Body {
  const tokens = readTokens(text);
  let at = 0;
  const peek = (): Token | undefined => tokens[at];
  const isMark = (token: Token | undefined, text: string): boolean =>
    token?.kind === "mark" && token.text === text;
  const lineHere = (): number => peek()?.line ?? tokens.at(-1)?.line ?? 1;

  const expression = (): readonly Token[] => {
    const value: Token[] = [];
    let depth = 0;
    for (;;) {
      const token = peek();
      if (token === undefined) return value;
      if (depth === 0 && (token.kind === "newline" || isMark(token, "}"))) return value;
      if (token.kind === "mark" && "([{".includes(token.text)) depth += 1;
      if (token.kind === "mark" && ")]}".includes(token.text)) depth -= 1;
      value.push(token);
      at += 1;
    }
  };

  const body = (isRoot: boolean): Body => {
    const attributes: { name: string; value: readonly Token[]; line: number }[] = [];
    const blocks: Block[] = [];
    for (;;) {
      const token = peek();
      if (token === undefined) {
        if (!isRoot) throw new UnreadableText(lineHere(), "a block without an end");
        return { attributes, blocks };
      }
      if (token.kind === "newline") {
        at += 1;
        continue;
      }
      if (isMark(token, "}") && !isRoot) {
        at += 1;
        return { attributes, blocks };
      }
      if (token.kind !== "word")
        throw new UnreadableText(token.line, "the name of an argument or block is expected");
      at += 1;
      if (isMark(peek(), "=")) {
        at += 1;
        attributes.push({ name: token.text, value: expression(), line: token.line });
        continue;
      }
      const labels: string[] = [];
      for (;;) {
        const label = peek();
        if (label?.kind === "word") labels.push(label.text);
        else if (label?.kind === "text") labels.push(labelOf(label));
        else break;
        at += 1;
      }
      if (!isMark(peek(), "{"))
        throw new UnreadableText(lineHere(), `after "${token.text}", { or = is expected`);
      at += 1;
      blocks.push({ type: token.text, labels, line: token.line, ...body(false) });
    }
  };
  return body(true);
}

function labelOf(token: Token & { readonly kind: "text" }): string {
  const [part, ...more] = token.parts;
  if (part === undefined) return "";
  if (typeof part !== "string" || more.length > 0)
    throw new UnreadableText(token.line, "a label that is computed");
  return part;
}

/** How many labels stand before the body of a block of the JSON syntax. */
const LABELS: Readonly<Record<string, number>> = {
  resource: 2,
  data: 2,
  ephemeral: 2,
  action: 2,
  module: 1,
  provider: 1,
  variable: 1,
  output: 1,
  check: 1,
  provisioner: 1,
  backend: 1,
};

/**
 * The blocks of a `.tf.json` or `.tofu.json` file. Where the JSON could mean an attribute or a block, it is both.
 * @throws UnreadableText
 */
export function readJsonBlocks(text: string, file: string): Body {
  // JSON is YAML 1.2; unlike JSON.parse, this reader refuses a name that stands twice, which terraform reads as two blocks.
  const parsed =
    text.trimStart().startsWith("{") || text.trimStart().startsWith("[") ? parseYaml(text, file) : null;
  if (parsed === null || !parsed.ok) throw new UnreadableText(1, "no JSON, or a name that stands twice");
  let value: Json;
  try {
    value = JSON.parse(text) as Json;
  } catch {
    throw new UnreadableText(1, "no JSON");
  }
  return jsonBody(value, 0);
}

function jsonBody(value: Json, depth: number): Body {
  if (depth > 64) throw new UnreadableText(1, "nested too deeply");
  const attributes: { name: string; value: readonly Token[]; line: number }[] = [];
  const blocks: Block[] = [];
  for (const object of objectsOf(value)) {
    for (const [name, member] of Object.entries(object)) {
      // A property of that name is a comment (terraform JSON syntax, "Comment Properties").
      if (name === "//") continue;
      attributes.push({ name, value: jsonTokens(member as Json), line: 1 });
      for (const { labels, body } of unroll(member as Json, LABELS[name] ?? 0)) {
        blocks.push({ type: name, labels, line: 1, ...jsonBody(body, depth + 1) });
      }
    }
  }
  return { attributes, blocks };
}

type JsonObject = { readonly [name: string]: unknown };

function objectsOf(value: unknown): readonly JsonObject[] {
  if (Array.isArray(value)) return value.flatMap(objectsOf);
  return typeof value === "object" && value !== null ? [value as JsonObject] : [];
}

function unroll(
  value: Json,
  labels: number,
): readonly { readonly labels: readonly string[]; readonly body: Json }[] {
  if (labels === 0) return objectsOf(value).map((body) => ({ labels: [], body: body as Json }));
  return objectsOf(value).flatMap((object) =>
    Object.entries(object)
      .filter(([name]) => name !== "//")
      .flatMap(([name, member]) =>
        unroll(member as Json, labels - 1).map((rest) => ({ ...rest, labels: [name, ...rest.labels] })),
      ),
  );
}

/** Every text in the value, also names of members, which are templates, too. */
function jsonTokens(value: Json): readonly Token[] {
  if (typeof value === "string") return [{ kind: "text", parts: readTemplate(value), line: 1 }];
  if (Array.isArray(value)) return value.flatMap(jsonTokens);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => [
    ...jsonTokens(name),
    ...jsonTokens(member as Json),
  ]);
}
