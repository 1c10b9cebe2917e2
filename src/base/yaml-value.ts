import { isAlias, isMap, isNode, isScalar, isSeq, type Document, type Node, type Pair } from "yaml";
import type { Json } from "./canonical-json.ts";
import type { SourceError, YamlPath } from "./yaml.ts";

const MAX_DEPTH = 64;
/** Nodes that aliases may add in one file. */
const MAX_ALIASED_NODES = 10_000;
const PLAIN_TAGS = /^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/;

type Fault = (offset: number, path: YamlPath, message: string) => SourceError;

/** Plain JSON of a parsed document. What could be read in two ways goes to `errors`. */
export function readValue(document: Document.Parsed, fault: Fault, errors: SourceError[]): Json {
  let aliased = 0;
  const refuse = (node: Node | null, path: YamlPath, message: string): null => {
    errors.push(fault(node?.range?.[0] ?? 0, path, message));
    return null;
  };
  const read = (node: Node | null, path: YamlPath, depth: number, inAlias: boolean): Json => {
    if (depth > MAX_DEPTH) return refuse(node, path, `nested deeper than ${MAX_DEPTH}`);
    if (inAlias && ++aliased > MAX_ALIASED_NODES) {
      if (aliased === MAX_ALIASED_NODES + 1) refuse(node, path, "aliases expand to too much; write it out");
      return null;
    }
    if (node === null) return null;
    if (isAlias(node)) {
      const target = node.resolve(document);
      if (target === undefined) return refuse(node, path, `no anchor &${node.source} before this alias`);
      return read(target, path, depth + 1, true);
    }
    if (node.tag !== undefined && !PLAIN_TAGS.test(node.tag))
      return refuse(node, path, `a tag (${node.tag})`);
    if (isScalar(node)) {
      const problem = scalarProblem(node.value);
      return problem === null ? (node.value as Json) : refuse(node, path, problem);
    }
    if (isSeq(node)) {
      return node.items.map((item, i) => read(isNode(item) ? item : null, [...path, i], depth + 1, inAlias));
    }
    if (!isMap(node)) return refuse(node, path, "neither a mapping, a list nor a plain value");
    const object: Record<string, Json> = {};
    for (const pair of node.items as Pair<Node, Node | null>[]) {
      const key = pair.key;
      if (!isScalar(key) || typeof key.value !== "string") {
        refuse(key, path, `a key that is not text; write it in quotes`);
        continue;
      }
      if (key.value === "<<") refuse(key, path, "a merge key; write the keys out");
      else if (key.value === "__proto__") refuse(key, path, "a key named __proto__");
      else object[key.value] = read(pair.value, [...path, key.value], depth + 1, inAlias);
    }
    return object;
  };
  return read(document.contents, [], 0, false);
}

function scalarProblem(value: unknown): string | null {
  switch (typeof value) {
    case "string":
      return value.isWellFormed() ? null : "a lone surrogate";
    case "boolean":
      return null;
    case "number":
      if (!Number.isFinite(value)) return `${value} is not a number that can be stored; write it in quotes`;
      if (Number.isInteger(value) && !Number.isSafeInteger(value))
        return "a number beyond ±(2^53−1); write it in quotes";
      return null;
    default:
      return value === null ? null : "not a plain value";
  }
}

/** The parser's complaint in our form. */
export function yamlMessage(code: string, message: string): string {
  if (code === "DUPLICATE_KEY") return "the same key twice in one mapping";
  if (code === "MULTIPLE_DOCS") return "several documents in one file";
  // The parser's first line, in our form: no capital, no full stop, no picture.
  const line = message.split("\n")[0]!.replace(/[:.]?\s*$/, "");
  return `not YAML: ${line.charAt(0).toLowerCase()}${line.slice(1)}`;
}
