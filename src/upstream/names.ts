import { publishedName } from "./definition.ts";
import { LOCK_FILE, type Pins } from "./lock.ts";
import type { UpstreamRegistrations } from "./registration.ts";

// Names without an alias (`prefix: none`). With one, no two tools can have the same name; without, that is checked, and
// nothing loads until it is so: a call must never reach another tool than its rule was written for.

/** Names that begin so are the gateway's own, for ever; hosts write a dot or a hyphen as an underscore. */
const OWN_PREFIX = /^countersign[_.-]/i;

/** Names that stand for more than one tool, as lines with their place. `own` has the names of the built-in tools. */
export function nameProblems(
  pins: Pins,
  entries: UpstreamRegistrations,
  own: () => ReadonlySet<string>,
): readonly string[] {
  if (Object.values(entries).every(({ prefix }) => prefix === undefined)) return [];
  const builtIn = own();
  const problems: string[] = [];
  const taken = new Map<string, string>();
  for (const pin of Object.values(pins)) {
    const entry = entries[pin.upstream];
    if (entry === undefined) continue;
    const name = publishedName(entry, pin.upstream, pin.tool);
    const at = `${LOCK_FILE}: upstreams.${pin.upstream}.tools.${pin.tool}`;
    const other = taken.get(name);
    const why =
      builtIn.has(name) || OWN_PREFIX.test(name)
        ? `"${name}" is a tool of countersign`
        : other === undefined
          ? null
          : `"${name}" is a tool of ${other} already`;
    if (why !== null) problems.push(`${at}: ${why}; take prefix: none from upstreams.${pin.upstream}`);
    taken.set(name, other ?? pin.upstream);
  }
  return problems;
}
