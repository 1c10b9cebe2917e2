import { CLIENT_CAPABILITIES_META_KEY } from "@modelcontextprotocol/server";
import { isJsonObject } from "../../base/json-object.ts";
import type { CallContext } from "./call-context.ts";

/** The tasks extension of 2026-07-28 (SEP-2663), as clients and servers declare it. */
export const TASKS_EXTENSION = "io.modelcontextprotocol/tasks";

/** What a client of 2026-07-28 says, on the request itself, that it can take. */
export interface Declared {
  readonly tasks: boolean;
  /** It shows a form to whoever sits at it. */
  readonly form: boolean;
  /** It shows a link, and asks before it opens it. */
  readonly url: boolean;
}

/** A claim, and taken as one: it decides the shape of an answer and nothing else (P2). */
export function declaredBy(ctx: CallContext): Declared {
  const envelope = ctx.mcpReq.envelope as Fields | undefined;
  const capabilities = fieldsOf(envelope?.[CLIENT_CAPABILITIES_META_KEY]);
  const elicitation = capabilities["elicitation"];
  const modes = fieldsOf(elicitation);
  return {
    tasks: isJsonObject(fieldsOf(capabilities["extensions"])[TASKS_EXTENSION]),
    // An empty object has meant forms since before there were other modes.
    form: isJsonObject(elicitation) && (isJsonObject(modes["form"]) || !isJsonObject(modes["url"])),
    url: isJsonObject(modes["url"]),
  };
}

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields => (isJsonObject(value) ? (value as Fields) : {});
