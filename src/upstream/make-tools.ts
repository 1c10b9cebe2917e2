import type { JsonObject } from "../base/canonical-json.ts";
import type { Tool } from "../tool.ts";
import { publishedName } from "./definition.ts";
import { makeDocumentTools } from "./documents.ts";
import type { Pins } from "./lock.ts";
import type { Pool } from "./pool.ts";
import type { UpstreamRegistrations } from "./registration.ts";
import { makeUpstreamTool } from "./tool.ts";

export interface UpstreamTools {
  readonly tools: readonly Tool[];
  /** Accepted tools that can't be offered, with the reason. */
  readonly problems: readonly { readonly tool: string; readonly why: string }[];
}

/**
 * The tools of all upstreams: a pure function of what was adopted. Whether a server runs, and what it lists now, makes no
 * difference to what there is; it is asked when a tool is called.
 */
export function makeUpstreamTools(registrations: JsonObject, pool: () => Promise<Pool>): UpstreamTools {
  const entries = (registrations["upstreams"] ?? {}) as unknown as UpstreamRegistrations;
  const pins = (registrations["pins"] ?? {}) as unknown as Pins;
  const tools: Tool[] = [];
  const problems: { tool: string; why: string }[] = [];
  for (const pin of Object.values(pins)) {
    const entry = entries[pin.upstream];
    if (entry === undefined) continue;
    const name = publishedName(entry, pin.upstream, pin.tool);
    const made = makeUpstreamTool(name, { alias: pin.upstream, entry, pin, pins, pool });
    if (made.ok) tools.push(made.value);
    else problems.push({ tool: name, why: made.error });
  }
  for (const [alias, entry] of Object.entries(entries)) tools.push(...makeDocumentTools(alias, entry, pool));
  return { tools, problems };
}
