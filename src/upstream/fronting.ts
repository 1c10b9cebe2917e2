import type { Logger } from "pino";
import type { JsonObject } from "../base/canonical-json.ts";
import type { Tool } from "../tool.ts";
import { makeUpstreamTools } from "./make-tools.ts";
import type { Pool, PoolParts } from "./pool.ts";

/** The servers that one opened home fronts: their tools, and the connections behind them. */
export interface Fronting {
  /** `own`: names of the gateway's own tools, which no accepted tool takes, not even one that was there first. */
  tools(registrations: JsonObject, own?: ReadonlySet<string>): readonly Tool[];
  close(): Promise<void>;
}

/** Connections, and the SDK that makes them, come with the first call. */
export function createFronting(parts: PoolParts & { readonly log: Logger }): Fronting {
  let pool: Promise<Pool> | null = null;
  let isClosed = false;
  const told = new Set<string>();
  const live = async (): Promise<Pool> => {
    pool ??= import("./pool.ts").then(({ createPool }) => createPool(parts));
    const made = await pool;
    if (isClosed) await made.close();
    return made;
  };
  return {
    tools(registrations, own = new Set()) {
      const { tools, problems } = makeUpstreamTools(registrations, live);
      const taken = tools
        .filter(({ name }) => own.has(name))
        .map(({ name }) => ({ tool: name, why: "a tool of countersign has this name" }));
      for (const { tool, why } of [...problems, ...taken]) {
        if (told.has(`${tool} ${why}`)) continue;
        told.add(`${tool} ${why}`);
        parts.log.warn({ tool, why }, "an accepted tool can't be offered");
      }
      return taken.length === 0 ? tools : tools.filter(({ name }) => !own.has(name));
    },
    async close() {
      isClosed = true;
      await (await pool)?.close();
    },
  };
}
