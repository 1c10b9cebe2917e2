import type { JsonObject } from "../base/canonical-json.ts";
import { isJsonObject } from "../base/json-object.ts";
import type { Effect } from "../request/action-request.ts";
import type { UpstreamRegistration } from "./registration.ts";

// How much a tool of another server may change.
//
//   P2. What a server says of its own tools is a claim. Without the operator's word it is worth nothing, and what is not
//       known counts as the worst: destructive. "Read-only" is no exception; a tool that calls itself so may still
//       print every secret of its environment.
//
// With the operator's word the annotations mean what MCP says they do (2026-07-28, ToolAnnotations): readOnlyHint is
// false where it is absent, and destructiveHint is true.

export function isVouched(entry: Pick<UpstreamRegistration, "vouch">, tool: string): boolean {
  return entry.vouch === true || (Array.isArray(entry.vouch) && entry.vouch.includes(tool));
}

export function effectOf(entry: UpstreamRegistration, tool: string, definition: JsonObject): Effect {
  const own = Object.hasOwn(entry.tools, tool) ? entry.tools[tool]?.effect : undefined;
  if (own !== undefined) return own;
  if (!isVouched(entry, tool)) return "destructive";
  const hints = annotationsOf(definition);
  if (hints["readOnlyHint"] === true) return hints["destructiveHint"] === true ? "destructive" : "read";
  return hints["destructiveHint"] === false ? "write" : "destructive";
}

export function isIdempotent(entry: UpstreamRegistration, tool: string, definition: JsonObject): boolean {
  const own = Object.hasOwn(entry.tools, tool) ? entry.tools[tool]?.idempotent : undefined;
  if (own !== undefined) return own;
  return isVouched(entry, tool) && annotationsOf(definition)["idempotentHint"] === true;
}

export function annotationsOf(definition: JsonObject): JsonObject {
  const hints = definition["annotations"];
  return isJsonObject(hints) ? hints : {};
}
