import { canonicalJson, type Json, type JsonObject } from "../base/canonical-json.ts";
import { digestJson } from "../base/digest.ts";
import type { ToolView } from "../preview/view.ts";
import { ToolRefusal } from "../tool.ts";
import { ErrorReply } from "./failure.ts";
import type { ToolEntry } from "./registration.ts";

// What people are shown of a call to another server's tool, and what has to be the same when it runs.
//
//   P2. What the server answers to a try or a look is its claim: it is shown and hashed, and gives policy no facts.

/** Calls a tool of the same server while nobody has approved anything: a try, or a look. */
export type Ask = (tool: string, args: JsonObject) => Promise<JsonObject>;

export interface Evidence {
  readonly documents: ToolView["documents"];
  readonly warnings: ToolView["warnings"];
  readonly fidelity: ToolView["fidelity"];
  /** What was seen of the world; the guard is made of it. */
  readonly seen: Json;
}

const MAX_SHOWN = 1024 * 1024;

/** Makes the evidence for one call, as far as the operator's entry says how. */
export async function gather(entry: ToolEntry | undefined, args: JsonObject, ask: Ask): Promise<Evidence> {
  const documents: ToolView["documents"] = [];
  const seen: Record<string, Json> = {};
  const { dry_run: dryRun, before } = entry ?? {};
  if (before !== undefined) {
    const answer = await answered(() => ask(before.tool, argumentsOf(before.args, args)));
    documents.push(shown(`before: what ${before.tool} answers now`, answer));
    seen["before"] = answer;
  }
  if (dryRun !== undefined) {
    const answer = await answered(() => ask("", { ...args, [dryRun.argument]: dryRun.value as Json }));
    if (answer["isError"] === true)
      throw new ToolRefusal("dry_run_failed", canonicalJson(answer).slice(0, 2_000));
    documents.push(shown(`dry run: what the server says it would do (${dryRun.argument})`, answer));
    seen["dry_run"] = answer;
  }
  if (before !== undefined) return { documents, warnings: [CLAIM], fidelity: "checked", seen };
  if (dryRun !== undefined) return { documents, warnings: [CLAIM], fidelity: "estimated", seen };
  return { documents, warnings: [NO_PREVIEW], fidelity: "none", seen };
}

export const guardOf = (definition: string, args: JsonObject, seen: Json): string =>
  digestJson("inputs", { definition, args, seen });

const NO_PREVIEW = {
  code: "no_preview",
  text: "there is no preview: the arguments are all that is known of what this call would do",
};
const CLAIM = {
  code: "server_claim",
  text: "what stands below was answered by the server itself; nobody else vouches for it",
};

/** An error is an answer too: that a file is not there yet is worth seeing, and worth seeing again before it runs. */
async function answered(ask: () => Promise<JsonObject>): Promise<JsonObject> {
  try {
    // What differs from answer to answer and says nothing of the world.
    const { _meta: _, ...answer } = await ask();
    return answer;
  } catch (error) {
    if (error instanceof ErrorReply) return { isError: true, error: error.error as Json };
    throw error;
  }
}

/** The arguments of the tool that looks: the operator's own, and what they take from the call. */
function argumentsOf(wanted: NonNullable<ToolEntry["before"]>["args"], args: JsonObject): JsonObject {
  const given: Record<string, Json> = {};
  for (const [name, source] of Object.entries(wanted)) {
    if (typeof source !== "object") given[name] = source;
    else if ("value" in source) given[name] = source.value as Json;
    else if (Object.hasOwn(args, source.from)) given[name] = args[source.from] as Json;
  }
  return given;
}

/** A reply as people read it: its texts, and what is no text as JSON. Never shortened without saying so (C4). */
function shown(title: string, answer: JsonObject): ToolView["documents"][number] {
  const content = Array.isArray(answer["content"]) ? (answer["content"] as readonly Json[]) : [];
  const texts = content.map((block) => {
    const { type, text } = (block ?? {}) as { readonly type?: unknown; readonly text?: unknown };
    return type === "text" && typeof text === "string" ? text : null;
  });
  const { content: _, structuredContent, ...rest } = answer;
  // Structured content says the same as the text, by the protocol; it is hashed, and shown where there is no text.
  const isAllText =
    texts.length > 0 && texts.every((text) => text !== null) && Object.keys(rest).length === 0;
  const body = isAllText
    ? texts.join("\n")
    : JSON.stringify({ content, ...rest, structuredContent }, null, 2);
  if (body.length > MAX_SHOWN) {
    throw new ToolRefusal("preview_too_large", `${title}: ${body.length} characters, at most ${MAX_SHOWN}`);
  }
  const isDiff = isAllText && /^(?:```diff\n)?(?:Index: |diff --git |--- )/m.test(body);
  return { title, kind: isAllText ? (isDiff ? "diff" : "text") : "json", body };
}
