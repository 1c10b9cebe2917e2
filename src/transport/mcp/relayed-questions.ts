import type { Json, JsonObject } from "../../base/canonical-json.ts";
import { isJsonObject } from "../../base/json-object.ts";
import { err, ok, type Result } from "../../base/result.ts";
import { neutralise, type TextFlag } from "../../base/text.ts";
import { plainLine, quoted } from "./plain-text.ts";

// The questions of a fronted server, as they are put to the client of whoever called.
//
//   P1. They look like questions of this gateway, because to the client it is the gateway that asks. So each says whose
//       words it has, in front of them and after them, and is built anew from the members that are known to be harmless.
//       Nothing that opens a page is passed on: a link out of the gateway's mouth is what a phisher wants.
//   P3. Text is neutralised and has its length. What can't be, because the server gets it back, has nothing hidden in it.
//   K1. No key can pass for one of the gateway's own. A key that could has the alias in front, out and back.

/** The kinds of questions that are passed on, and the capability with which a client says that it takes them. */
export const CAPABILITY: Readonly<Record<string, string>> = {
  "elicitation/create": "elicitation",
  "sampling/createMessage": "sampling",
  "roots/list": "roots",
};

const MOST_QUESTIONS = 32;
const MAX_KEY_LENGTH = 256;
const MAX_MESSAGE_LENGTH = 2_000;
const MAX_LABEL_LENGTH = 500;
const MAX_NAME_LENGTH = 128;
const MAX_SCHEMA_DEPTH = 8;
const MAX_BYTES = 256 * 1024;

type Questions = Readonly<Record<string, JsonObject>>;

/** Why a question goes to nobody, for whoever called. */
class Unpassable extends Error {
  override readonly name = "Unpassable";
}

/** The server's questions in the gateway's words, or why they are not passed on. */
export function relayedQuestions(alias: string, asked: JsonObject): Result<Questions, string> {
  const entries = Object.entries(asked);
  if (entries.length > MOST_QUESTIONS) {
    return err(`it asks ${entries.length} questions at once; at most ${MOST_QUESTIONS} are passed on`);
  }
  const bytes = Buffer.byteLength(JSON.stringify(asked));
  if (bytes > MAX_BYTES) return err(`its questions have ${bytes} bytes; at most ${MAX_BYTES} are passed on`);
  try {
    const questions = entries.map(([key, question]) => [keyOut(alias, key), relayed(alias, question)]);
    return ok(Object.fromEntries(questions) as Questions);
  } catch (error) {
    if (error instanceof Unpassable) return err(error.message);
    throw error;
  }
}

/** The answers under the keys that the server gave its questions (K1). */
export const answersBack = (alias: string, answers: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(answers).map(([key, answer]) => [keyBack(alias, key), answer]));

/** Keys that the gateway uses, may use one day, or puts in front of others. */
const isTaken = (alias: string, key: string): boolean => OURS.test(key) || key.startsWith(`${alias}:`);
const OURS = /^(?:page$|inq_|(?:[a-z0-9-]+\.)*dev\.countersign|countersign)/i;

function keyOut(alias: string, key: string): string {
  if (key.length > MAX_KEY_LENGTH || hides(key)) {
    throw new Unpassable(
      `the name of one of its questions is longer than ${MAX_KEY_LENGTH} characters, or has hidden ones`,
    );
  }
  return isTaken(alias, key) ? `${alias}:${key}` : key;
}

function keyBack(alias: string, key: string): string {
  const own = key.startsWith(`${alias}:`) ? key.slice(alias.length + 1) : key;
  return own !== key && isTaken(alias, own) ? own : key;
}

function relayed(alias: string, question: Json): JsonObject {
  const { method, params: given } = isJsonObject(question) ? question : {};
  const params = isJsonObject(given) ? given : {};
  switch (method) {
    case "elicitation/create":
      return { method, params: form(alias, params) };
    case "sampling/createMessage":
      return { method, params: sample(alias, params) };
    case "roots/list":
      return { method, params: {} };
    default:
      throw new Unpassable(
        `it asks "${plainLine(typeof method === "string" ? method : "", 64)}", which is none of the questions of MCP 2026-07-28`,
      );
  }
}

function form(alias: string, { mode, message, requestedSchema, url }: JsonObject): JsonObject {
  if (mode === "url" || url !== undefined) {
    throw new Unpassable(
      "it wants a page to be opened (elicitation in url mode), and a link is never passed on in the gateway's name",
    );
  }
  if (mode !== undefined && mode !== "form") {
    throw new Unpassable(`it asks in the mode "${plainLine(String(mode), 64)}", which is not passed on`);
  }
  return {
    ...(mode === undefined ? {} : { mode }),
    message: attributed(alias, message),
    ...(requestedSchema === undefined ? {} : { requestedSchema: schemaOf(requestedSchema, 0) }),
  };
}

/** The words of a question, with whose they are around them (P1). */
function attributed(alias: string, message: Json | undefined): string {
  const given = typeof message === "string" ? message : "";
  const text = given.length <= MAX_MESSAGE_LENGTH ? given : given.slice(0, MAX_MESSAGE_LENGTH);
  const more = given.length - text.length;
  const words = /[\r\n\u0085\u2028\u2029]/.test(text) ? `\n${quoted(text)}` : ` ${plainLine(text)}`;
  const rest = more === 0 ? "" : `… (${more} more characters)`;
  return (
    `${alias} asks:${words}${rest}\n\n` +
    `These are words of the server "${alias}", not of Countersign, which passes them on. An answer approves nothing.`
  );
}

const REFERENCES: ReadonlySet<string> = new Set(["$ref", "$dynamicRef", "$recursiveRef"]);
const LABELS: ReadonlySet<string> = new Set(["title", "description"]);

/** What a form asks for. Labels are neutralised; what comes back to the server stays as it is, and must hide nothing. */
function schemaOf(value: Json, depth: number): Json {
  if (depth > MAX_SCHEMA_DEPTH) throw new Unpassable("its form is nested too deeply");
  if (typeof value === "string") {
    if (hides(value)) throw new Unpassable("its form has values with hidden characters");
    return value;
  }
  if (Array.isArray(value)) return (value as readonly Json[]).map((one) => schemaOf(one, depth + 1));
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => {
      if (name.length > MAX_NAME_LENGTH || hides(name)) {
        throw new Unpassable(
          `its form has a field with a name longer than ${MAX_NAME_LENGTH} characters, or with hidden ones`,
        );
      }
      // A client that looks a reference up would fetch what a server names, in its user's network.
      if (REFERENCES.has(name)) throw new Unpassable(`its form refers to a schema elsewhere (${name})`);
      if (LABELS.has(name) && typeof member === "string") return [name, plainLine(member, MAX_LABEL_LENGTH)];
      if (name === "enumNames" && Array.isArray(member)) {
        return [
          name,
          member.map((one) => (typeof one === "string" ? plainLine(one, MAX_LABEL_LENGTH) : one)),
        ];
      }
      return [name, schemaOf(member, depth + 1)];
    }),
  );
}

/**
 * A completion that the server wants of the client's model. `includeContext` is left out: what the client would add is
 * what it has from this gateway, which is every other server's, or from all (MCP 2025-11-25, deprecated).
 */
function sample(alias: string, params: JsonObject): JsonObject {
  const { includeContext: _, _meta: __, task: ___, systemPrompt, ...rest } = params;
  const said = typeof systemPrompt === "string" ? `\n\n${visible(systemPrompt)}` : "";
  return {
    ...(shown(rest) as JsonObject),
    systemPrompt:
      `The server "${alias}" asks for this completion. Countersign passes it on; what follows are that server's words.` +
      said,
  };
}

/** Strings with what is hidden in them made visible, wherever they stand. */
function shown(value: Json): Json {
  if (typeof value === "string") return visible(value);
  if (Array.isArray(value)) return (value as readonly Json[]).map(shown);
  return isJsonObject(value)
    ? Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shown(member)]))
    : value;
}

const visible = (text: string): string => (hides(text) ? neutralise(text, { maxSpaces: 200 }).text : text);

const HIDDEN: ReadonlySet<TextFlag> = new Set([
  "control",
  "direction",
  "invisible",
  "malformed",
  "unassigned",
  "marker",
]);
const hides = (text: string): boolean => neutralise(text).flags.some((flag) => HIDDEN.has(flag));
