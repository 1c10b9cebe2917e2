import type { JsonObject } from "../base/canonical-json.ts";
import type { Proposal } from "./home.ts";

/** What a registration of each kind is called, and what becomes of it. */
const WORDS: Readonly<Record<string, readonly [noun: string, came: string, went: string]>> = {
  services: ["service", "registered", "removed"],
  workspaces: ["workspace", "registered", "removed"],
  upstreams: ["server", "registered", "removed"],
  pins: ["tool", "accepted", "no longer accepted"],
};

/** Which registrations came, went or changed. Any change may point an old name at another place: weaker. */
export function registryDiff(from: JsonObject, to: JsonObject): Proposal["diff"] {
  const lines: { text: string; weaker: boolean }[] = [];
  for (const kind of new Set([...Object.keys(from), ...Object.keys(to)])) {
    const before = (from[kind] ?? {}) as JsonObject;
    const after = (to[kind] ?? {}) as JsonObject;
    const [noun, came, went] = WORDS[kind] ?? [kind, "registered", "removed"];
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const a = before[name];
      const b = after[name];
      if (a === undefined) lines.push({ text: `${noun} ${name}: ${came}`, weaker: true });
      else if (b === undefined) lines.push({ text: `${noun} ${name}: ${went}`, weaker: false });
      else {
        const fields = changedFields(a as JsonObject, b as JsonObject);
        if (fields.length > 0)
          lines.push({ text: `${noun} ${name}: ${fields.join(", ")} changed`, weaker: true });
      }
    }
  }
  return lines;
}

const changedFields = (a: JsonObject, b: JsonObject): readonly string[] =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].filter(
    (field) => JSON.stringify(a[field]) !== JSON.stringify(b[field]),
  );
