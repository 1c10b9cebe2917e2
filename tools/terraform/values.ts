import { MASKED, type Scrub } from "./scrub.ts";
import { allModules, type PlanChange, type PlanJson } from "./plan-json.ts";

// Values of a plan, as people may see them. What terraform marks as sensitive is masked by its place; what it does not
// know yet is said to be unknown; and every text that stands in a sensitive place is masked wherever else it turns up.

export const UNKNOWN = "(known after apply)";

/** Every text in a sensitive place of the plan, and the values of sensitive variables. */
export function secretsOf(plan: PlanJson, variables: unknown): readonly string[] {
  const found = new Set<string>();
  const all = (value: unknown): void => {
    if (typeof value === "string") found.add(value);
    else if (typeof value === "number") found.add(String(value));
    else if (typeof value === "object" && value !== null)
      for (const member of Object.values(value)) all(member);
  };
  const walk = (value: unknown, sensitive: unknown): void => {
    if (sensitive === true) all(value);
    else if (
      typeof sensitive === "object" &&
      sensitive !== null &&
      typeof value === "object" &&
      value !== null
    ) {
      for (const [name, inner] of Object.entries(sensitive)) {
        walk((value as Readonly<Record<string, unknown>>)[name], inner);
      }
    }
  };
  const changes = [...plan.resource_changes, ...plan.resource_drift].map((one) => one.change);
  for (const change of [...changes, ...Object.values(plan.output_changes)]) {
    walk(change.before, change.before_sensitive);
    walk(change.after, change.after_sensitive);
  }
  for (const { module } of allModules(plan.configuration.root_module)) {
    for (const [name, { sensitive }] of Object.entries(module.variables ?? {})) {
      if (sensitive === true && module === plan.configuration.root_module) {
        all((variables as Readonly<Record<string, { value?: unknown }>> | undefined)?.[name]?.value);
      }
    }
  }
  found.delete("");
  return [...found];
}

export interface Attribute {
  /** `input.size`, `tags["a b"]`, `rules[0].port`; empty for the value itself. */
  readonly path: string;
  /** As JSON, masked; undefined where there is none. */
  readonly before: string | undefined;
  readonly after: string | undefined;
  readonly unknown: boolean;
  readonly sensitive: boolean;
}

/** What differs between the two sides of a change, attribute by attribute. */
export function changedAttributes(change: PlanChange, scrub: Scrub): readonly Attribute[] {
  const before = flatten(change.before, change.before_sensitive, undefined);
  const after = flatten(change.after, change.after_sensitive, change.after_unknown);
  const paths = [...new Set([...before.keys(), ...after.keys()])].sort();
  const found: Attribute[] = [];
  for (const path of paths) {
    const [old, now] = [before.get(path), after.get(path)];
    if (old?.raw === now?.raw && now?.unknown !== true) continue;
    // Neither side says anything: null to null, or an empty thing that came along.
    if (
      (old === undefined || old.raw === "null") &&
      (now === undefined || now.raw === "null") &&
      now?.unknown !== true
    )
      continue;
    found.push({
      path: scrub(path),
      before: old === undefined ? undefined : shown(old, scrub),
      after: now === undefined ? undefined : shown(now, scrub),
      unknown: now?.unknown ?? false,
      sensitive: (old?.sensitive ?? false) || (now?.sensitive ?? false),
    });
  }
  return found;
}

/** One value, whole, masked: for outputs. */
export function shownValue(value: unknown, sensitive: unknown, unknown: unknown, scrub: Scrub): string {
  if (unknown === true) return UNKNOWN;
  if (sensitive === true) return MASKED;
  const leaves = [...flatten(value, sensitive, unknown).entries()];
  if (leaves.length === 1 && leaves[0]?.[0] === "") return shown(leaves[0][1], scrub);
  return leaves.map(([path, leaf]) => `${scrub(path)} = ${shown(leaf, scrub)}`).join("\n");
}

interface Leaf {
  readonly raw: string;
  readonly sensitive: boolean;
  readonly unknown: boolean;
}

const shown = (leaf: Leaf, scrub: Scrub): string => {
  if (leaf.unknown) return UNKNOWN;
  return leaf.sensitive ? MASKED : oneLine(scrub(leaf.raw));
};

/** JSON text has no line breaks but these two. */
const oneLine = (json: string): string =>
  json.replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029").toWellFormed();

function flatten(value: unknown, sensitive: unknown, unknown: unknown): ReadonlyMap<string, Leaf> {
  const leaves = new Map<string, Leaf>();
  const put = (path: string, raw: unknown, isSensitive: boolean, isUnknown: boolean): void =>
    void leaves.set(path, { raw: JSON.stringify(raw) ?? "null", sensitive: isSensitive, unknown: isUnknown });
  const walk = (path: string, at: unknown, secret: unknown, open: unknown): void => {
    if (open === true) return put(path, null, secret === true, true);
    if (secret === true) return put(path, at, true, false);
    if (typeof at === "object" && at !== null) {
      const names = new Set([...Object.keys(at), ...(isMap(open) ? Object.keys(open) : [])]);
      if (names.size === 0) return put(path, at, false, false);
      for (const name of names) {
        const step = Array.isArray(at)
          ? `[${name}]`
          : /^[\p{ID_Start}_][\p{ID_Continue}-]*$/u.test(name)
            ? `.${name}`
            : `[${oneLine(JSON.stringify(name))}]`;
        const inner =
          isMap(at) || Array.isArray(at) ? (at as Readonly<Record<string, unknown>>)[name] : undefined;
        walk(
          `${path}${step}`,
          inner,
          isMap(secret) ? secret[name] : undefined,
          isMap(open) ? open[name] : undefined,
        );
      }
      return;
    }
    // Absent, while parts of it will be known: a null with a map of what is open.
    if ((at === undefined || at === null) && isMap(open) && Object.keys(open).length > 0) {
      for (const [name, inner] of Object.entries(open))
        walk(`${path}.${name}`, undefined, isMap(secret) ? secret[name] : undefined, inner);
      return;
    }
    if (at !== undefined) put(path, at, false, false);
  };
  walk("", value, sensitive, unknown);
  return new Map([...leaves].map(([path, leaf]) => [path.replace(/^\./, ""), leaf]));
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;
