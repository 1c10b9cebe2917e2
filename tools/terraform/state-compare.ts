import { isDeepStrictEqual } from "node:util";
import { opOf, type PlanJson } from "./plan-json.ts";

export interface StateContent {
  readonly resources: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
  readonly outputs: Readonly<Record<string, unknown>>;
}

interface StateModule {
  readonly resources?: readonly {
    readonly address: string;
    readonly tainted?: boolean;
    readonly deposed_key?: string;
    readonly values?: Readonly<Record<string, unknown>>;
  }[];
  readonly child_modules?: readonly StateModule[];
}

/** Resources and outputs of `terraform show -json`. What is tainted counts as not there: its create did not end well. */
export function stateResources(shown: unknown): StateContent {
  const { values } = shown as {
    values?: { root_module?: StateModule; outputs?: Readonly<Record<string, { value?: unknown }>> };
  };
  const resources = new Map<string, Readonly<Record<string, unknown>>>();
  const walk = (module: StateModule): void => {
    for (const one of module.resources ?? []) {
      const address = one.deposed_key === undefined ? one.address : `${one.address} deposed`;
      if (one.tainted !== true) resources.set(address, one.values ?? {});
      else resources.set(`${address} tainted`, one.values ?? {});
    }
    for (const child of module.child_modules ?? []) walk(child);
  };
  walk(values?.root_module ?? {});
  const outputs = Object.fromEntries(
    Object.entries(values?.outputs ?? {}).map(([name, { value }]) => [name, value]),
  );
  return { resources, outputs };
}

/** True only where every change shows: a change that would look the same if it had not been made proves nothing. */
export function isInState(plan: PlanJson, state: StateContent): boolean {
  let seen = 0;
  for (const one of plan.resource_changes) {
    const op = opOf(one);
    if (op === "none" || op === "read") continue;
    seen += 1;
    const now = state.resources.get(one.address);
    const { before, after, after_unknown: unknown } = one.change;
    if (one.deposed !== undefined || op === "forget") return false;
    if (op === "delete") {
      if (now !== undefined || state.resources.has(`${one.address} tainted`)) return false;
      continue;
    }
    if (now === undefined || !matches(now, after, unknown)) return false;
    if (op === "replace") {
      const old = (before as Readonly<Record<string, unknown>> | null)?.["id"];
      if (old === undefined || old === now["id"]) return false;
    }
    if (op === "update" && matches(before, after, unknown)) return false;
  }
  for (const [name, change] of Object.entries(plan.output_changes)) {
    const op = opOf({ change });
    if (op === "none") continue;
    const now = state.outputs[name];
    if (op === "delete" ? now !== undefined : !matches(now, change.after, change.after_unknown)) return false;
  }
  return seen > 0;
}

/** Whether `now` has every value that is known of `wanted`. */
function matches(now: unknown, wanted: unknown, unknown: unknown): boolean {
  if (unknown === true) return true;
  const open = isMap(unknown) ? unknown : {};
  if (!isMap(wanted)) return Object.keys(open).length > 0 || isDeepStrictEqual(now, wanted);
  if (!isMap(now)) return false;
  return Object.entries(wanted).every(([name, value]) => matches(now[name], value, open[name]));
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null;
