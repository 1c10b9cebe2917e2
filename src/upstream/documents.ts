import { canonicalCopy, type Json, type JsonObject } from "../base/canonical-json.ts";
import { digestJson } from "../base/digest.ts";
import { plainReadView } from "../preview/plain-read.ts";
import { splitRound, roundParams } from "../request/round.ts";
import { NoEffect, type Documents, type Tool } from "../tool.ts";
import { createArgumentCheck } from "./arguments.ts";
import { fullName } from "./definition.ts";
import { ErrorReply, LostReply, NotSent } from "./failure.ts";
import type { Pool, Upstream } from "./pool.ts";
import { guardOf } from "./preview.ts";
import type { UpstreamRegistration } from "./registration.ts";
import { answerOf, asking, notSent, REFUSALS, tracing } from "./tool.ts";

// Resources, prompts and completions of a server, where its registration says `resources: true`.
//
//   G1. Reading one is a call of the gate, of a tool with a name such as `files__resources/read`: policy judges it and the
//       log has it. No server's own tool can have that name, because a slash can't stand in one.
//   P2. They count as reads by the operator's word, which is the registration.
//
// Lists are asked for when a client asks; they are not pinned, because nobody acts on them.

const TIMEOUT_MS = 60_000;
/** For a page, and for a look through all of them. */
const LIST_TIMEOUT_MS = 10_000;
const LOOK_TIMEOUT_MS = 20_000;
const LISTED_FOR_MS = 30_000;
/** A server that could not be asked is not asked again for so long. */
const ASKED_AGAIN_MS = 5_000;
const MAX_LISTED = 20_000;
const MAX_ID_BYTES = 4 * 1024 * 1024;
const MAX_ID_LENGTH = 8_192;

/** The methods that are calls, with what their arguments look like. */
const METHODS = {
  "resources/read": {
    description: "reads a resource of the server",
    properties: { uri: { type: "string", maxLength: MAX_ID_LENGTH } },
    required: ["uri"],
  },
  "prompts/get": {
    description: "fills in a prompt of the server",
    properties: {
      name: { type: "string", maxLength: 1_024 },
      arguments: { type: "object", additionalProperties: { type: "string" } },
    },
    required: ["name"],
  },
  "completion/complete": {
    description: "asks the server for values of an argument that begin so",
    properties: { ref: { type: "object" }, argument: { type: "object" }, context: { type: "object" } },
    required: ["ref", "argument"],
  },
} as const;

/** The tools behind the documents of one server. */
export function makeDocumentTools(
  alias: string,
  entry: UpstreamRegistration,
  pool: () => Promise<Pool>,
): readonly Tool[] {
  if (!entry.resources) return [];
  const upstream = async (): Promise<Upstream> => (await pool()).upstream(alias, entry);
  const offered = createDocuments(alias, entry, upstream);
  return (Object.keys(METHODS) as (keyof typeof METHODS)[]).map((method) =>
    documentTool(alias, entry, upstream, { ...offered, method }),
  );
}

function documentTool(
  alias: string,
  entry: UpstreamRegistration,
  upstream: () => Promise<Upstream>,
  documents: Documents,
): Tool {
  const { method } = documents;
  const { description, properties, required } = METHODS[method];
  const name = fullName(alias, method);
  const inputSchema = canonicalCopy({
    type: "object",
    properties,
    required,
    additionalProperties: false,
  } as unknown as JsonObject);
  const check = createArgumentCheck(inputSchema);
  const definition = digestJson("tool", { upstream: alias, method, environment: entry.environment });
  return {
    name,
    title: name,
    description,
    idempotent: true,
    inputSchema,
    outputSchema: {},
    fixedEffect: "read",
    definition,
    refusals: REFUSALS,
    canReconcile: false,
    canRevoke: false,
    upstream: { alias, definition: { name, inputSchema }, documents },
    parseInput(value) {
      const issues = check(splitRound(value as JsonObject).args);
      return issues.length === 0 ? { ok: true, input: value as JsonObject } : { ok: false, issues };
    },
    effect: () => "read",
    targets: (input) => [{ kind: "resource", id: targetOf(alias, input), environment: entry.environment }],
    registration: () => canonicalCopy({ upstream: alias, entry: entry as unknown as Json }),
    preview: (input) =>
      Promise.resolve({
        plan: input,
        guard: guardOf(definition, input, {}),
        expiresAt: null,
        view: plainReadView(`${method} of ${alias}`),
      }),
    guard: (plan) => Promise.resolve(guardOf(definition, plan as JsonObject, {})),
    async execute(plan, ctx) {
      const line = await notSent(upstream);
      const { args, round } = splitRound(plan as JsonObject);
      const output = await answerOf(true, () =>
        line.request(
          method,
          { ...args, ...roundParams(round) },
          {
            signal: ctx.signal,
            timeoutMs: TIMEOUT_MS,
            meta: { ...asking(ctx), ...tracing(ctx) },
            progress: (message) => ctx.progress(message),
          },
        ),
      ).catch((error: unknown) => {
        if (error instanceof NotSent) throw new NoEffect(error.code, REFUSALS[error.code], { cause: error });
        if (error instanceof LostReply)
          throw new NoEffect("upstream_silent", error.message, { cause: error });
        throw error;
      });
      return { output, undo: null };
    },
    revoke: () => Promise.resolve(),
    reconcile: () => Promise.resolve("unknown"),
  };
}

const targetOf = (alias: string, { uri, name }: JsonObject): string =>
  typeof uri === "string" ? uri : typeof name === "string" ? name : alias;

function createDocuments(
  alias: string,
  entry: UpstreamRegistration,
  upstream: () => Promise<Upstream>,
): Omit<Documents, "method"> {
  const list: Documents["list"] = async (method, cursor, signal) => {
    try {
      const line = await upstream();
      return await line.request(method, cursor === undefined ? {} : { cursor }, {
        signal,
        timeoutMs: LIST_TIMEOUT_MS,
      });
    } catch (error) {
      // A server that has none of a kind does not know the method.
      if (error instanceof ErrorReply && error.error.code === METHOD_NOT_FOUND) return {};
      throw error;
    }
  };
  const known = new Map<Method, Ids>();
  const asking = new Map<Method, { readonly ids: Promise<Ids>; readonly until: number }>();
  /** What it listed lately; where it can't be asked now, what it listed before. */
  const idsOf = async (method: Method): Promise<Ids> => {
    const now = performance.now();
    const fresh = known.get(method);
    if (fresh !== undefined && now < fresh.until) return fresh;
    let asked = asking.get(method);
    if (asked === undefined || asked.until < now) {
      asked = { ids: readIds(list, method), until: now + ASKED_AGAIN_MS };
      asking.set(method, asked);
    }
    try {
      const ids = await asked.ids;
      known.set(method, ids);
      asking.delete(method);
      return ids;
    } catch (error) {
      if (fresh !== undefined) return fresh;
      throw error;
    }
  };
  const has = async (method: Method, id: string): Promise<boolean> => {
    const { ids, isWhole } = await idsOf(method);
    if (ids.has(id)) return true;
    if (isWhole) return false;
    throw new LostReply(`${alias} lists more than can be looked through`);
  };
  return {
    alias,
    prefix: entry.prefix === "none" ? "" : fullName(alias, ""),
    list,
    async owns(kind, id) {
      if (kind === "prompt") return has("prompts/list", id);
      if (await has("resources/list", id)) return true;
      const { ids } = await idsOf("resources/templates/list");
      for (const template of ids) {
        const literal = template.split("{", 1)[0] ?? "";
        if (template === id || (literal !== "" && id.startsWith(literal))) return true;
      }
      return false;
    },
  };
}

interface Ids {
  readonly ids: ReadonlySet<string>;
  readonly isWhole: boolean;
  /** Monotonic milliseconds. */
  readonly until: number;
}

/** The ids of all pages, of which there are no more than can be held. */
async function readIds(list: Documents["list"], method: Method): Promise<Ids> {
  const signal = AbortSignal.timeout(LOOK_TIMEOUT_MS);
  const { key, id: member } = LISTS[method];
  const ids = new Set<string>();
  let cursor: string | undefined;
  let bytes = 0;
  let isWhole = false;
  // An empty page counts as well: a server must not keep us here.
  for (let count = 0; count < MAX_LISTED && bytes < MAX_ID_BYTES && !isWhole;) {
    const answer = await list(method, cursor, signal);
    const items = Array.isArray(answer[key]) ? (answer[key] as readonly Json[]) : [];
    for (const item of items) {
      const id = (item as JsonObject | null)?.[member];
      // A longer one can't be asked for.
      if (typeof id !== "string" || id.length > MAX_ID_LENGTH || bytes >= MAX_ID_BYTES) continue;
      ids.add(id);
      bytes += id.length;
    }
    count += Math.max(items.length, 1_000);
    const next = answer["nextCursor"];
    isWhole = bytes < MAX_ID_BYTES && (typeof next !== "string" || next === cursor);
    cursor = typeof next === "string" ? next : undefined;
  }
  return { ids, isWhole, until: performance.now() + LISTED_FOR_MS };
}

const METHOD_NOT_FOUND = -32601;

type Method = Parameters<Documents["list"]>[0];
const LISTS: Readonly<Record<Method, { readonly key: string; readonly id: string }>> = {
  "resources/list": { key: "resources", id: "uri" },
  "resources/templates/list": { key: "resourceTemplates", id: "uriTemplate" },
  "prompts/list": { key: "prompts", id: "name" },
};
