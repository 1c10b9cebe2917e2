import { ProtocolError, ProtocolErrorCode, type Result } from "@modelcontextprotocol/server";
import type { Logger } from "pino";
import { isJsonObject } from "../../base/json-object.ts";
import type { PublishedTool, Reply } from "../../gate/reply.ts";
import type { Documents } from "../../tool.ts";
import { NOT_NOW, passedResult, upstreamError } from "./fronted.ts";
import { renderReply } from "./render.ts";

// Resources, prompts and completions of fronted servers (`resources: true`).
//
//   M1. Lists are looked up and joined, so many a minute; reading is a call of the gate, and what the gate says of it is
//       the answer.
//   M4. No server gets what is another's. An address goes to the one server that lists it, or a pattern that it fits.
//       Where several do, or one can't be asked, it goes to none: `countersign:<alias>:<address>` says which is meant.
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

export interface DocumentParts {
  /** The tools behind the documents, in the order of their servers. */
  readonly tools: readonly PublishedTool[];
  /** Calls the gate. A result is an answer already: what the server asks first. */
  ask(tool: PublishedTool, args: Readonly<Record<string, unknown>>): Promise<Reply | Result>;
  /** Counts a look at a list; a refusal where there were too many. */
  look(): Promise<Reply | null>;
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
      const owner = await ownerOf(parts, "resources/read", "resource", uri);
      if (owner === null)
        throw new ProtocolError(ProtocolErrorCode.InvalidParams, "Resource not found", { uri });
      return read(parts, owner.source.tool, { uri: owner.id });
    }
    case "prompts/get": {
      const name = textIn(params, "name");
      const owner = await ownerOf(parts, "prompts/get", "prompt", name);
      if (owner === null) throw noPrompt(name);
      const given = params["arguments"];
      return read(parts, owner.source.tool, {
        name: owner.id,
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
  const { name, uri } = isJsonObject(ref) ? ref : {};
  const of = typeof name === "string" ? name : typeof uri === "string" ? uri : null;
  if (of === null)
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, "params.ref needs a name or a uri");
  const kind = typeof name === "string" ? "prompt" : "resource";
  const owner = await ownerOf(parts, "completion/complete", kind, of);
  if (owner === null) {
    throw kind === "prompt"
      ? noPrompt(of)
      : new ProtocolError(ProtocolErrorCode.InvalidParams, "Resource not found", { uri: of });
  }
  const plain = { ...(ref as Params), [kind === "prompt" ? "name" : "uri"]: owner.id };
  return read(parts, owner.source.tool, {
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

interface Owner {
  readonly source: Source;
  /** As the server knows it. */
  readonly id: string;
}

/** `countersign:<alias>:<address>`; no server's own address begins so. */
const OWN_SCHEME = "countersign:";
const addressOf = ({ alias }: Source, uri: string): string => `${OWN_SCHEME}${alias}:${uri}`;

/**
 * The server that an address or a prompt's name belongs to (M4). With one server there is nothing to look up.
 * @throws ProtocolError where several may be meant, with the addresses that say which
 */
async function ownerOf(
  parts: DocumentParts,
  method: Documents["method"],
  kind: "resource" | "prompt",
  id: string,
): Promise<Owner | null> {
  const sources = sourcesOf(parts, method);
  // A name with its alias in front says whose it is.
  const prefixOf = (source: Source): string =>
    kind === "prompt" ? `${source.alias}__` : addressOf(source, "");
  const named = sources.find(
    (source) => id.startsWith(prefixOf(source)) && id.length > prefixOf(source).length,
  );
  if (named !== undefined) return { source: named, id: id.slice(prefixOf(named).length) };
  if (kind === "resource" && id.startsWith(OWN_SCHEME)) return null;
  const possible = sources.filter(({ prefix }) => kind === "resource" || prefix === "");
  if (possible.length <= 1) return possible[0] === undefined ? null : { source: possible[0], id };
  const claims = await Promise.all(
    possible.map(async (source) => {
      const owns = await source.owns(kind, id).catch((error: unknown) => {
        parts.log.warn({ upstream: source.alias, err: error }, "upstream's documents could not be listed");
        return null;
      });
      return { source, owns };
    }),
  );
  const may = claims.filter(({ owns }) => owns !== false);
  const [first] = may;
  if (first === undefined) return null;
  if (may.length === 1 && first.owns === true) return { source: first.source, id };
  const owners = may.filter(({ owns }) => owns === true).map(({ source }) => source.alias);
  const silent = may.filter(({ owns }) => owns === null).map(({ source }) => source.alias);
  const exact = may.map(({ source }) =>
    kind === "prompt" ? `${source.alias}__${id}` : addressOf(source, id),
  );
  const words = [
    ...(owners.length === 0 ? [] : [`${owners.join(" and ")} ${owners.length === 1 ? "lists" : "list"} it`]),
    ...(silent.length === 0 ? [] : [`${silent.join(" and ")} can't be asked now`]),
  ].join(", and ");
  throw new ProtocolError(
    ProtocolErrorCode.InvalidParams,
    `it can't be told whose this ${kind} is: ${words}; ask for ${exact.join(" or ")}`,
    { [kind === "prompt" ? "name" : "uri"]: id, candidates: exact },
  );
}

/** With so many items an answer is long enough; the next page goes on with the next server. */
const LONG = 2_000;

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
  const refusal = await parts.look();
  if (refusal !== null) throw notNow(refusal);
  const asked = sources.slice(first);
  // All at once: one that is slow holds nobody up but itself.
  const pages = asked.map((source, i) =>
    source.list(method, i === 0 ? at?.cursor : undefined, parts.signal).catch((error: unknown) => {
      parts.log.warn({ upstream: source.alias, err: error }, "upstream's documents could not be listed");
      return null;
    }),
  );
  const items: Params[] = [];
  for (const [i, source] of asked.entries()) {
    if (items.length >= LONG) return { [key]: items, nextCursor: writeCursor(source.alias) };
    const page = await pages[i];
    if (page === null || page === undefined) continue;
    const given = Array.isArray(page[key]) ? (page[key] as readonly unknown[]) : [];
    items.push(
      ...given
        .filter(isJsonObject)
        .filter(({ uri }) => typeof uri !== "string" || !uri.startsWith(OWN_SCHEME))
        .map((item) => rename(source, item)),
    );
    const next = page["nextCursor"];
    if (typeof next === "string") return { [key]: items, nextCursor: writeCursor(source.alias, next) };
  }
  return { [key]: items };
}

const writeCursor = (alias: string, cursor?: string): string =>
  Buffer.from(JSON.stringify([alias, cursor ?? null])).toString("base64url");

function readCursor(given: unknown): { readonly alias: string; readonly cursor: string | undefined } {
  if (typeof given !== "string" || given.length > 65_536) throw badCursor();
  try {
    const [alias, cursor] = JSON.parse(Buffer.from(given, "base64url").toString("utf8")) as unknown[];
    if (typeof alias === "string" && typeof cursor === "string") return { alias, cursor };
    if (typeof alias === "string" && cursor === null) return { alias, cursor: undefined };
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
  // The server's own words on a request of the protocol, in the protocol's own form.
  const error = upstreamError(reply);
  if (error !== null) throw new ProtocolError(error.code, error.message, error.data);
  const passed = passedResult(reply);
  if (passed !== null) {
    const { content: _, ...result } = passed;
    return result as Result;
  }
  throw notNow(reply);
}

/** What the gate says of a reading that is not done, as an error of the protocol. */
function notNow(reply: Reply): ProtocolError {
  const { content, structuredContent } = renderReply(reply);
  const words = content[0]?.type === "text" ? content[0].text : "not read";
  const code = reply.status === "pending" ? NOT_NOW.pending : NOT_NOW.refused;
  return new ProtocolError(code, words, structuredContent);
}

function textIn(params: Params, name: string): string {
  const text = params[name];
  if (typeof text === "string" && text !== "") return text;
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, `params.${name} must be a string`);
}

const isReply = (answer: Reply | Result): answer is Reply => typeof answer["status"] === "string";
