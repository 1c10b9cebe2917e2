import type { MadePlan } from "./make-plan.ts";
import { opOf, type Op, type ResourceChange } from "./plan-json.ts";
import type { Scrub } from "./scrub.ts";
import { changedAttributes, shownValue, type Attribute } from "./values.ts";

// A plan in words, masked: what both tools tell of it.

export interface SummaryChange {
  readonly op: Exclude<Op, "none">;
  readonly address: string;
  /** Why terraform replaces or deletes it. */
  readonly reason: string | null;
  readonly attributes: readonly Attribute[];
}

export interface SummaryOutput {
  readonly name: string;
  readonly op: Exclude<Op, "none">;
  readonly before: string | null;
  readonly after: string | null;
}

export interface PlanSummary {
  readonly changes: readonly SummaryChange[];
  readonly outputs: readonly SummaryOutput[];
  /** What was changed outside of terraform since it last ran. */
  readonly drift: readonly SummaryChange[];
  /** Addresses that only got another name in the configuration. */
  readonly moved: readonly string[];
  readonly counts: Readonly<
    Record<
      | Exclude<Op, "none">
      | "destroy"
      | "import"
      | "outputs"
      | "drift"
      | "unknown"
      | "sensitive"
      | "provisioners",
      number
    >
  >;
  readonly checksFailed: readonly string[];
  readonly applyable: boolean;
}

// Terraform's `action_reason` (JSON output format), in words.
const REASONS: Readonly<Record<string, string>> = {
  replace_because_tainted: "it is marked as tainted: an earlier create did not end well",
  replace_because_cannot_update: "these can't be changed in place",
  replace_by_request: "a replacement was asked for",
  replace_by_triggers: "something that it depends on changes (replace_triggered_by)",
  delete_because_no_resource_config: "it stands no longer in the configuration",
  delete_because_no_module: "its module stands no longer in the configuration",
  delete_because_wrong_repetition: "count or for_each changed between one and many",
  delete_because_count_index: "count became smaller",
  delete_because_each_key: "its key is no longer in for_each",
  delete_because_no_move_target: "it was moved to an address that is not configured",
};

export function summarise(made: MadePlan): PlanSummary {
  const { json, scrub, snapshot } = made;
  const changes = json.resource_changes.flatMap((one) => describe(one, scrub));
  const drift = json.resource_drift.flatMap((one) => describe(one, scrub));
  const outputs = Object.entries(json.output_changes).flatMap(([name, change]): SummaryOutput[] => {
    const op = opOf({ change });
    if (op === "none") return [];
    return [
      {
        name: scrub(name),
        op,
        before: op === "create" ? null : shownValue(change.before, change.before_sensitive, undefined, scrub),
        after:
          op === "delete"
            ? null
            : shownValue(change.after, change.after_sensitive, change.after_unknown, scrub),
      },
    ];
  });
  const count = (op: Op): number => changes.filter((one) => one.op === op).length;
  const attributes = changes.flatMap((one) => one.attributes);
  return {
    changes,
    outputs,
    drift,
    moved: json.resource_changes
      .filter((one) => one.previous_address !== undefined)
      .map((one) => scrub(`${one.previous_address ?? ""} is now ${one.address}`)),
    counts: {
      create: count("create"),
      update: count("update"),
      replace: count("replace"),
      delete: count("delete"),
      forget: count("forget"),
      read: count("read"),
      // What is there and will be gone, also where something else takes its place.
      destroy: count("delete") + count("replace"),
      import: json.resource_changes.filter((one) => one.change.importing !== undefined).length,
      outputs: outputs.length,
      drift: drift.length,
      unknown: attributes.filter((one) => one.unknown).length,
      sensitive: attributes.filter((one) => one.sensitive).length,
      provisioners: snapshot.provisioners.length,
    },
    checksFailed: (json.checks ?? [])
      .filter((one) => one.status === "fail" || one.status === "error")
      .map((one) => scrub(one.address?.to_display ?? "a check")),
    applyable: json.applyable ?? (changes.length > 0 || outputs.length > 0),
  };
}

function describe(one: ResourceChange, scrub: Scrub): SummaryChange[] {
  const op = opOf(one);
  if (op === "none") return [];
  const deposed = one.deposed === undefined ? "" : ` (deposed ${one.deposed})`;
  return [
    {
      op,
      address: scrub(`${one.address}${deposed}`),
      reason: reasonOf(one, op, scrub),
      attributes: changedAttributes(one.change, scrub),
    },
  ];
}

function reasonOf(one: ResourceChange, op: Op, scrub: Scrub): string | null {
  const paths = (one.change.replace_paths ?? []).map((path) =>
    path.map((step, i) => (typeof step === "number" ? `[${step}]` : i === 0 ? step : `.${step}`)).join(""),
  );
  const known =
    one.action_reason === undefined
      ? undefined
      : (REASONS[one.action_reason] ?? one.action_reason.replaceAll("_", " "));
  const forced = paths.length === 0 ? "" : `: ${paths.join(", ")}`;
  if (known !== undefined) return scrub(`${known}${forced}`);
  if (op === "replace") return scrub(`it can't be changed in place${forced}`);
  return null;
}

/** `1 to create, 2 to change, 1 to delete`. */
export function countWords(counts: PlanSummary["counts"]): string {
  const words = [
    [counts.create, "to create"],
    [counts.update, "to change"],
    [counts.replace, "to replace"],
    [counts.delete, "to delete"],
    [counts.forget, "to forget"],
    [counts.import, "to import"],
  ] as const;
  const said = words.filter(([count]) => count > 0).map(([count, word]) => `${count} ${word}`);
  if (said.length > 0) return said.join(", ");
  return counts.outputs > 0 ? `${counts.outputs} outputs to change` : "no changes";
}
