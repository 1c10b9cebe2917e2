import type { Adapter } from "lowdb";
import { Low } from "lowdb";
import { canonicalJson, type Json, type JsonObject } from "../base/canonical-json.ts";
import { isJsonObject } from "../base/json-object.ts";
import { pointerStep } from "../base/json-pointer.ts";
import type { Digest } from "../base/digest.ts";
import { CountersignError } from "../errors.ts";
import { fullName, publishedName, type Listed } from "./definition.ts";
import { schemaProblem } from "./arguments.ts";
import { effectOf } from "./effect.ts";
import { EMPTY_LOCK, type Lock } from "./lock.ts";
import type { Pool, Upstream } from "./pool.ts";
import type { UpstreamRegistrations } from "./registration.ts";

// What servers list now, beside what was accepted of them.

export type ToolState = "accepted" | "new" | "changed" | "gone" | "unusable";

export interface ComparedTool {
  readonly upstream: string;
  readonly tool: string;
  readonly name: string;
  readonly state: ToolState;
  /** What it counts as under the registration. */
  readonly effect: string | null;
  /** Why it can't be used. */
  readonly why: string | null;
  /** Digests of the accepted definition and of the one that is listed now. */
  readonly accepted: string | null;
  readonly listed: string | null;
  /** JSON pointers that differ, with what stood and stands there. */
  readonly changes: readonly Change[];
}

export interface Change {
  readonly path: string;
  readonly before: string | null;
  readonly after: string | null;
}

export interface ComparedUpstream {
  readonly upstream: string;
  /** Null: reached. */
  readonly unreached: string | null;
  readonly era: string | null;
  readonly server: string | null;
  readonly tools: readonly ComparedTool[];
}

/** Compares each named upstream with the lock; one that can't be reached is told as such. */
export async function compareUpstreams(
  registrations: UpstreamRegistrations,
  lock: Lock,
  pool: Pool,
  only: string | null,
): Promise<readonly ComparedUpstream[]> {
  const aliases = Object.keys(registrations).filter((alias) => only === null || only === alias);
  return Promise.all(aliases.map((alias) => compareOne(alias, registrations, lock, pool)));
}

async function compareOne(
  alias: string,
  registrations: UpstreamRegistrations,
  lock: Lock,
  pool: Pool,
): Promise<ComparedUpstream> {
  const entry = registrations[alias] as UpstreamRegistrations[string];
  const accepted = lock.upstreams[alias]?.tools ?? {};
  let listed: Listed;
  let facts: Awaited<ReturnType<Upstream["facts"]>>;
  try {
    const upstream = pool.upstream(alias, entry);
    listed = await upstream.list(0);
    facts = await upstream.facts();
  } catch (error) {
    return {
      upstream: alias,
      unreached: error instanceof Error ? error.message : String(error),
      era: null,
      server: null,
      tools: [],
    };
  }
  const tools: ComparedTool[] = [];
  const common = (tool: string) => ({
    upstream: alias,
    tool,
    name: publishedName(entry, alias, tool),
    why: null,
  });
  for (const { name, digest, document } of listed.definitions.values()) {
    const problem = schemaProblem(document["inputSchema"]);
    if (problem !== null) {
      const why = `has an input schema that can't be used: ${problem}`;
      tools.push({
        ...common(name),
        state: "unusable",
        effect: null,
        why,
        accepted: null,
        listed: digest,
        changes: [],
      });
      continue;
    }
    const pin = Object.hasOwn(accepted, name) ? accepted[name] : undefined;
    tools.push({
      ...common(name),
      state: pin === undefined ? "new" : pin.digest === digest ? "accepted" : "changed",
      effect: effectOf(entry, name, document),
      accepted: pin?.digest ?? null,
      listed: digest,
      changes: pin === undefined || pin.digest === digest ? [] : changesBetween(pin.definition, document),
    });
  }
  for (const { tool, why } of listed.problems) {
    tools.push({
      ...common(tool),
      state: "unusable",
      effect: null,
      why,
      accepted: null,
      listed: null,
      changes: [],
    });
  }
  for (const [tool, { digest }] of Object.entries(accepted)) {
    if (listed.definitions.has(tool)) continue;
    tools.push({ ...common(tool), state: "gone", effect: null, accepted: digest, listed: null, changes: [] });
  }
  tools.sort((a, b) => (a.tool < b.tool ? -1 : 1));
  const { server } = facts;
  return {
    upstream: alias,
    unreached: null,
    era: facts.era,
    server: server === null ? null : `${server.name} ${server.version}`,
    tools,
  };
}

/** Every place in which two definitions differ, deepest first named. */
export function changesBetween(
  before: Json | undefined,
  after: Json | undefined,
  path = "",
): readonly Change[] {
  if (isJsonObject(before) && isJsonObject(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
    return keys.flatMap((key) => changesBetween(before[key], after[key], path + pointerStep(key)));
  }
  const [a, b] = [textAt(before), textAt(after)];
  return a === b ? [] : [{ path: path === "" ? "/" : path, before: a, after: b }];
}

const textAt = (value: Json | undefined): string | null =>
  value === undefined ? null : canonicalJson(value);

/** What is taken over into the lock: new and changed definitions, exactly as they were shown; gone ones leave it. */
export interface Acceptance {
  readonly upstream: string;
  readonly tool: string;
  /** Digest that was shown; null: the tool leaves the lock. */
  readonly listed: string | null;
}

/**
 * Writes what was accepted. Asks each server again, and refuses what is not the definition that was shown.
 * @throws CountersignError `UPSTREAM_CHANGED`
 */
export async function acceptInto(
  file: Adapter<Lock>,
  registrations: UpstreamRegistrations,
  pool: Pool,
  wanted: readonly Acceptance[],
): Promise<void> {
  const db = new Low<Lock>(file, EMPTY_LOCK);
  await db.read();
  const upstreams = structuredClone(db.data.upstreams) as Record<
    string,
    { tools: Record<string, { digest: Digest; definition: JsonObject }> }
  >;
  const lists = new Map<string, Listed>();
  for (const { upstream, tool, listed } of wanted) {
    const tools = (upstreams[upstream] ??= { tools: {} }).tools;
    if (listed === null) {
      delete tools[tool];
      continue;
    }
    const list =
      lists.get(upstream) ?? (await pool.upstream(upstream, registrations[upstream] as never).list(0));
    lists.set(upstream, list);
    const found = list.definitions.get(tool);
    if (found?.digest !== listed) {
      throw new CountersignError(
        "UPSTREAM_CHANGED",
        `${fullName(upstream, tool)} changed while it was looked at`,
        {
          hint: "look again: countersign upstream diff",
        },
      );
    }
    tools[tool] = { digest: found.digest, definition: found.document };
  }
  for (const [alias, { tools }] of Object.entries(upstreams)) {
    if (Object.keys(tools).length === 0) delete upstreams[alias];
  }
  db.data = { version: 1, upstreams };
  await db.write();
}
