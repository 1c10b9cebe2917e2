import { ProtocolError, ProtocolErrorCode, type Result } from "@modelcontextprotocol/server";
import type { Logger } from "pino";
import type { Json } from "../../base/canonical-json.ts";
import type { PublishedTool, Reply } from "../../gate/reply.ts";
import type { Documents } from "../../tool.ts";
import { passedResult } from "./fronted.ts";
import { renderReply } from "./render.ts";

// Resources, prompts and completions of fronted servers (`resources: true`).
//
//   M1. Lists are looked up and joined; reading is a call of the gate, and what the gate says of it is the answer.
//
// Addresses of resources stay as their server gives them, because its tools speak of them too. Names of prompts have the
// alias in front, like names of tools. A list's cursor names the server whose list it goes on with.

export const DOCUMENT_METHODS: ReadonlySet<string> = new Set([
  "resources/list",
  "resources/templates/list",
  "resources/read",
  "prompts/list",
  "prompts/get",
  "completion/complete",
]);

/** JSON-RPC codes of ours: outside the range that the specifications keep (JSON-RPC 2.0 §5.1). */
const NOT_NOW = { pending: -31_001, refused: -31_002 } as const;

export interface DocumentParts {
  /** The tools behind the documents, in the order of their servers. */
  readonly tools: readonly PublishedTool[];
  /** Calls the gate. A result is an answer already: what the server asks first. */
  ask(tool: PublishedTool, args: Readonly<Record<string, unknown>>): Promise<Reply | Result>;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

type Params = Readonly<Record<string, unknown>>;
type Source = Documents & { readonly tool: PublishedTool };

export const documentTools = (tools: readonly PublishedTool[]): readonly PublishedTool[] =>
  tools.filter(({ upstream }) => upstream?.documents !== undefined);

/** @throws ProtocolError with the server's own error, or with what the gate said */
export async function answerDocuments(parts: DocumentParts, method: string, params: Params): Promise<Result> {
  switch (method) {
    case "resources/list":
      return listed(parts, method, "resources", params, (_, item) => item);
    case "resources/templates/list":
      return listed(parts, method, "resourceTemplates", params, (_, item) => item);
    case "prompts/list":
      return listed(parts, method, "prompts", params, ({ prefix }, item) => ({
        ...item,
        name: prefix + String(item["name"]),
      }));
    case "resources/read": {
      const uri = textIn(params, "uri");
      const source = await ownerOf(parts, "resources/read", "resource", uri);
      if (source === null)
        throw new ProtocolError(ProtocolErrorCode.InvalidParams, "Resource not found", { uri });
      return read(parts, source.tool, { uri });
    }
    case "prompts/get": {
      const name = textIn(params, "name");
      const source = await ownerOf(parts, "prompts/get", "prompt", name);
      if (source === null) throw noPrompt(name);
      const given = params["arguments"];
      return read(parts, source.tool, {
        name: name.slice(source.prefix.length),
        ...(given === undefined ? {} : { arguments: given }),
      });
    }
    case "completion/complete":
      return complete(parts, params);
    default:
      throw new ProtocolError(ProtocolErrorCode.MethodNotFound, "Method not found");
  }
}

const noPrompt = (name: string): ProtocolError =>
  new ProtocolError(ProtocolErrorCode.InvalidParams, `there is no prompt "${name.slice(0, 200)}"`);

async function complete(parts: DocumentParts, params: Params): Promise<Result> {
  const { ref, argument, context } = params;
  const { name, uri } = isObject(ref) ? ref : {};
  const of = typeof name === "string" ? name : typeof uri === "string" ? uri : null;
  if (of === null)
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, "params.ref needs a name or a uri");
  const kind = typeof name === "string" ? "prompt" : "resource";
  const source = await ownerOf(parts, "completion/complete", kind, of);
  if (source === null) {
    throw kind === "prompt"
      ? noPrompt(of)
      : new ProtocolError(ProtocolErrorCode.InvalidParams, "Resource not found", { uri: of });
  }
  const plain = kind === "prompt" ? { ...(ref as Params), name: of.slice(source.prefix.length) } : ref;
  return read(parts, source.tool, {
    ref: plain,
    argument,
    ...(context === undefined ? {} : { context }),
  });
}

const sourcesOf = ({ tools }: DocumentParts, method: Documents["method"]): readonly Source[] =>
  tools.flatMap((tool) => {
    const documents = tool.upstream?.documents;
    return documents?.method === method ? [{ ...documents, tool }] : [];
  });

/** The server that an address or a prompt's name belongs to. With one server there is nothing to look up. */
async function ownerOf(
  parts: DocumentParts,
  method: Documents["method"],
  kind: "resource" | "prompt",
  id: string,
): Promise<Source | null> {
  const sources = sourcesOf(parts, method).filter(
    ({ prefix }) => kind === "resource" || (id.startsWith(prefix) && id.length > prefix.length),
  );
  // A name with its alias in front says whose it is.
  const named = kind === "prompt" ? sources.find(({ prefix }) => prefix !== "") : undefined;
  if (named !== undefined) return named;
  if (sources.length <= 1) return sources[0] ?? null;
  for (const source of sources) {
    const owns = await source.owns(kind, id, parts.signal).catch((error: unknown) => {
      parts.log.warn({ upstream: source.alias, err: error }, "upstream's documents could not be listed");
      return false;
    });
    if (owns) return source;
  }
  return null;
}

/** Joins what the servers list until one of them has more pages. A server that can't be asked is left out. */
async function listed(
  parts: DocumentParts,
  method: Parameters<Documents["list"]>[0],
  key: string,
  params: Params,
  rename: (source: Source, item: Params) => Params,
): Promise<Result> {
  const sources = sourcesOf(parts, "resources/read");
  const at = params["cursor"] === undefined ? null : readCursor(params["cursor"]);
  const first = at === null ? 0 : sources.findIndex(({ alias }) => alias === at.alias);
  if (first < 0) throw badCursor();
  const items: Params[] = [];
  for (const [i, source] of sources.slice(first).entries()) {
    const cursor = i === 0 ? at?.cursor : undefined;
    let page: Params;
    try {
      page = await source.list(method, cursor, parts.signal);
    } catch (error) {
      parts.log.warn({ upstream: source.alias, err: error }, "upstream's documents could not be listed");
      continue;
    }
    const given = Array.isArray(page[key]) ? (page[key] as readonly unknown[]) : [];
    items.push(...given.filter(isObject).map((item) => rename(source, item)));
    const next = page["nextCursor"];
    if (typeof next === "string") return { [key]: items, nextCursor: writeCursor(source.alias, next) };
  }
  return { [key]: items };
}

const writeCursor = (alias: string, cursor: string): string =>
  Buffer.from(JSON.stringify([alias, cursor])).toString("base64url");

function readCursor(given: unknown): { readonly alias: string; readonly cursor: string } {
  if (typeof given !== "string" || given.length > 65_536) throw badCursor();
  try {
    const [alias, cursor] = JSON.parse(Buffer.from(given, "base64url").toString("utf8")) as unknown[];
    if (typeof alias === "string" && typeof cursor === "string") return { alias, cursor };
  } catch {
    // Said below.
  }
  throw badCursor();
}

const badCursor = (): ProtocolError =>
  new ProtocolError(ProtocolErrorCode.InvalidParams, "params.cursor is not one of this gateway's");

async function read(parts: DocumentParts, tool: PublishedTool, args: Params): Promise<Result> {
  const reply = await parts.ask(tool, args);
  if (!isReply(reply)) return reply;
  if (reply.status === "done" && isObject(reply.output)) {
    const { error } = reply.output as { readonly error?: unknown };
    // The server's own words on a request of the protocol, in the protocol's own form.
    if (isObject(error)) {
      throw errorOf(error);
    }
    const passed = passedResult(reply);
    if (passed !== null) {
      const { content: _, ...result } = passed;
      return result as Result;
    }
  }
  const { content, structuredContent } = renderReply(reply);
  const words = content[0]?.type === "text" ? content[0].text : "not read";
  throw new ProtocolError(
    reply.status === "pending" ? NOT_NOW.pending : NOT_NOW.refused,
    words,
    structuredContent,
  );
}

/**
 * A server's error under its own code, where that is about the request. Other codes of the protocol's range, and ours,
 * make a client do something: open a page, greet again, take a ticket. Those are told and not said.
 */
function errorOf(error: Readonly<Record<string, Json>>): ProtocolError {
  const code = Number(error["code"]);
  const message = String(error["message"]);
  const isKept = code >= -32_768 && code <= -32_000;
  const isOurs = code === NOT_NOW.pending || code === NOT_NOW.refused;
  if (Number.isSafeInteger(code) && (PASSED_ON.has(code) || !(isKept || isOurs))) {
    return new ProtocolError(code, message, error["data"]);
  }
  return new ProtocolError(
    ProtocolErrorCode.InternalError,
    `The server answered with the error ${code}: ${message}`,
    { "dev.countersign/error": error },
  );
}

/** Resource not found in either form, and what JSON-RPC says of parameters, methods and faults. */
const PASSED_ON = new Set([-32_002, -32_602, -32_601, -32_603, -32_000]);

function textIn(params: Params, name: string): string {
  const text = params[name];
  if (typeof text === "string" && text !== "") return text;
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, `params.${name} must be a string`);
}

const isObject = (value: unknown): value is Readonly<Record<string, Json>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isReply = (answer: Reply | Result): answer is Reply => typeof answer["status"] === "string";
