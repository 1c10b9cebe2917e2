import type { PublishedTool } from "../../gate/reply.ts";
import { documentTools } from "./documents.ts";

/** What a call asks of the tools there are, without looking through them. */
export interface ToolIndex {
  readonly byName: ReadonlyMap<string, PublishedTool>;
  /** Those behind resources and prompts. */
  readonly documents: readonly PublishedTool[];
}

const known = new WeakMap<readonly PublishedTool[], ToolIndex>();

/** Made once for each list: the gate gives the same one until an adoption changes it. */
export function toolIndexOf(tools: readonly PublishedTool[]): ToolIndex {
  let index = known.get(tools);
  if (index === undefined) {
    index = { byName: new Map(tools.map((tool) => [tool.name, tool])), documents: documentTools(tools) };
    known.set(tools, index);
  }
  return index;
}
