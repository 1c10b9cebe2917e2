import type { ToolView } from "../../src/preview/view.ts";
import type { MadePlan } from "./make-plan.ts";
import type { InfraPlan } from "./plan.ts";
import type { WorkspaceRegistration } from "./registration.ts";
import { countWords, type PlanSummary, type SummaryChange } from "./summary.ts";

// What people are shown of a plan. Addresses, names and values are the configuration's and may be an attacker's; they
// stand here masked and otherwise as they are, and whoever prints them neutralises them (P3).

export interface ViewParts {
  readonly plan: InfraPlan;
  readonly registration: WorkspaceRegistration;
  readonly refKind: "branch" | "tag" | "commit";
  readonly made: MadePlan;
  readonly summary: PlanSummary;
  readonly maxTextBytes: number;
}

type Change = ToolView["changes"][number];
type Warning = ToolView["warnings"][number];

const MAX_CHANGES = 5_000;

const SIGNS = { create: "+", update: "~", replace: "±", delete: "-", forget: "o", read: "?" } as const;
const WORDS = {
  create: "create",
  update: "change",
  replace: "replace",
  delete: "delete",
  forget: "forget (it stays, and terraform no longer looks after it)",
  read: "read during apply",
} as const;

export function buildView(parts: ViewParts): ToolView {
  const { plan, summary, registration } = parts;
  const { counts } = summary;
  const text = describeChanges(summary);
  const shown = summary.changes.filter((one) => one.op !== "read");
  const complete = shown.length <= MAX_CHANGES && Buffer.byteLength(text) <= parts.maxTextBytes;
  return {
    summary:
      `${plan.destroy ? "destroy everything in" : "apply"} ${plan.workspace} at ${plan.commit.slice(0, 12)} to ${plan.environment}: ${countWords(counts)}`.slice(
        0,
        300,
      ),
    verb: plan.destroy ? "DESTROY" : counts.destroy > 0 ? "APPLY WITH DELETES" : "APPLY",
    changes: shown.slice(0, MAX_CHANGES).map(toChange),
    counts: { ...counts, changes: shown.length },
    facts: {
      commit: plan.commit,
      ref: plan.ref,
      ref_kind: parts.refKind,
      terraform: plan.terraform,
      terraform_workspace: registration.workspace,
      directory: registration.directory ?? "",
      destroy_all: plan.destroy,
      drift_check: registration.drift_check,
      drifted: counts.drift > 0,
      first_apply: plan.state.lineage === "",
      state_serial: plan.state.serial,
    },
    warnings: listWarnings(parts, complete),
    documents: [
      { title: "plan", kind: "diff", body: complete ? text : "the plan is too large to be shown whole\n" },
      { title: "resources", kind: "table", body: describeTable(shown) },
      { title: "outputs", kind: "text", body: describeOutputs(summary) },
      ...(summary.drift.length === 0
        ? []
        : [
            {
              title: "changed outside of terraform",
              kind: "diff" as const,
              body: describeList(summary.drift),
            },
          ]),
      ...(counts.provisioners === 0
        ? []
        : [{ title: "commands of provisioners", kind: "text" as const, body: describeProvisioners(parts) }]),
      { title: "where it runs", kind: "text", body: describePlace(parts) },
    ],
    complete,
    reversible:
      "no undo: applying an earlier commit may bring back what was configured, not the data of what was deleted",
    fidelity: "exact",
  };
}

const OPS = {
  create: "create",
  update: "update",
  replace: "replace",
  delete: "delete",
  forget: "delete",
  read: "execute",
} as const;

function toChange(one: SummaryChange): Change {
  const side = (which: "before" | "after"): string | null => {
    const lines = one.attributes
      .filter((at) => at[which] !== undefined && at[which] !== "null")
      .map((at) => (at.path === "" ? (at[which] ?? "") : `${at.path} = ${at[which] ?? ""}`));
    return lines.length === 0 ? null : lines.join("\n");
  };
  const forgotten =
    one.op === "forget" ? "(forgotten: it stays, and terraform no longer looks after it)" : null;
  return {
    op: OPS[one.op],
    resource: one.reason === null ? one.address : `${one.address} (${one.reason})`,
    before: one.op === "create" ? null : side("before"),
    after: one.op === "delete" ? null : (forgotten ?? side("after")),
  };
}

const describeChanges = (summary: PlanSummary): string =>
  summary.changes.length === 0 ? "no resource changes\n" : describeList(summary.changes);

function describeList(changes: readonly SummaryChange[]): string {
  return changes
    .map((one) => {
      const head = `${SIGNS[one.op]} ${WORDS[one.op]} ${one.address}\n`;
      const why = one.reason === null ? "" : `    because ${one.reason}\n`;
      const lines = one.attributes.map(({ path, before, after, sensitive }) => {
        const name = path === "" ? "value" : path;
        if (before === undefined || one.op === "create") return `+   ${name} = ${after ?? "null"}\n`;
        if (after === undefined || one.op === "delete") return `-   ${name} = ${before}\n`;
        // Two masks look alike; that they differ is what matters.
        const changed = sensitive && before === after ? ", changed" : "";
        return `-   ${name} = ${before}\n+   ${name} = ${after}${changed}\n`;
      });
      return `${head}${why}${lines.join("")}`;
    })
    .join("\n");
}

function describeTable(changes: readonly SummaryChange[]): string {
  if (changes.length === 0) return "no resources\n";
  const width = Math.max(...changes.map((one) => one.op.length));
  return `${changes.map((one) => `${one.op.padEnd(width)}  ${one.address}  ${one.attributes.length} attributes`).join("\n")}\n`;
}

function describeOutputs({ outputs }: PlanSummary): string {
  if (outputs.length === 0) return "no outputs change\n";
  const one = (text: string | null): string =>
    text === null ? "(none)" : text.includes("\n") ? `\n    ${text.replaceAll("\n", "\n    ")}` : text;
  return `${outputs.map(({ name, op, before, after }) => `${SIGNS[op]} ${name}: ${one(before)} -> ${one(after)}`).join("\n")}\n`;
}

function describeProvisioners({ made }: ViewParts): string {
  return `${made.snapshot.provisioners
    .map(
      ({ type, where, file, line, source }) => `${type} in ${where} (${file}:${line})\n${made.scrub(source)}`,
    )
    .join("\n\n")}\n`;
}

// From the operator's registration and our own checkout; shown because it decides what the plan means.
function describePlace({ plan, registration, made }: ViewParts): string {
  const { backend } = registration;
  const place =
    "local" in backend
      ? `local ${backend.local}`
      : `${backend.type} ${made.scrub(JSON.stringify(backend.config))}`;
  const lines = [
    `repository: ${registration.repository}`,
    `commit: ${plan.commit} (${plan.ref})`,
    `directory: ${registration.directory ?? "/"}`,
    `backend: ${place}`,
    `terraform workspace: ${registration.workspace}`,
    `state: ${plan.state.lineage === "" ? "none yet" : `serial ${plan.state.serial}, lineage ${plan.state.lineage}`}`,
    `terraform: ${plan.terraform}`,
    `variables from the agent: ${JSON.stringify(plan.variables)}`,
    `variables from the operator: ${Object.keys(registration.set).join(", ") || "none"}`,
    `before it runs: ${registration.drift_check ? "planned once more and compared" : "the state's serial is compared; drift is not looked for"}`,
  ];
  return `${lines.join("\n")}\n`;
}

function listWarnings({ plan, registration, summary }: ViewParts, complete: boolean): Warning[] {
  const { counts } = summary;
  const warnings: Warning[] = [];
  const warn = (code: string, text: string): void => void warnings.push({ code, text });
  if (!complete) warn("incomplete", "the plan is too large to be shown whole");
  if (plan.destroy) warn("destroy", "everything that terraform knows in this workspace would be deleted");
  if (counts.destroy > 0)
    warn(
      "deletes",
      `${counts.destroy} resources are deleted${counts.replace > 0 ? `, ${counts.replace} of them to be made anew` : ""}`,
    );
  if (counts.provisioners > 0)
    warn(
      "provisioners",
      `${counts.provisioners} provisioners stand in the configuration: commands that run while applying`,
    );
  if (counts.drift > 0) warn("drift", `${counts.drift} resources were changed outside of terraform`);
  if (counts.unknown > 0) warn("unknown_values", `${counts.unknown} values are known only after apply`);
  if (counts.forget > 0) warn("forgets", `${counts.forget} resources stay and are forgotten by terraform`);
  if (summary.moved.length > 0) warn("moved", summary.moved.slice(0, 5).join(", "));
  if (summary.checksFailed.length > 0)
    warn("checks_failed", `checks of the configuration fail: ${summary.checksFailed.slice(0, 5).join(", ")}`);
  if (!registration.drift_check)
    warn("no_drift_check", "changes outside of terraform after this plan are not looked for");
  if (registration.allow_external.length > 0)
    warn("external_allowed", `the operator allows: ${registration.allow_external.join(", ")}`);
  return warnings;
}
