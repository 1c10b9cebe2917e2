import type { ToolView } from "../../src/preview/view.ts";
import { describeCommits, type CommitRange } from "./history.ts";
import type { Manifest, ManifestFile } from "../git/manifest.ts";
import { isSame, type CurrentRelease, type FoundFile } from "./releases.ts";
import type { DeployPlan } from "./plan.ts";
import { HIDDEN_CHARACTERS } from "../git/tree-path.ts";
import { diffHunks } from "./unified-diff.ts";

// What people are shown. Names, messages and file contents are the repository's and may be an attacker's; they stand
// here as they are, and whoever prints them neutralises them (P3).

export interface ViewParts {
  readonly plan: DeployPlan;
  readonly refKind: "branch" | "tag" | "commit";
  readonly manifest: Manifest;
  readonly current: CurrentRelease | null;
  readonly range: CommitRange;
  readonly maxDiffBytes: number;
  /** The bytes of a file of the new release. */
  readNew(file: ManifestFile): Promise<Buffer>;
  /** The bytes of a file that is served now; null where it went away meanwhile. */
  readOld(path: string): Promise<Buffer | null>;
}

type Change = ToolView["changes"][number];
type Warning = ToolView["warnings"][number];

const MAX_CHANGES = 10_000;

export async function buildView(parts: ViewParts): Promise<ToolView> {
  const { plan, manifest, current, range } = parts;
  const changed = listChanges(manifest, current);
  const diff = await buildDiff(parts, changed);
  const commits = describeCommits(range);
  const count = (op: Change["op"]): number => changed.filter((one) => one.op === op).length;
  const complete = changed.length <= MAX_CHANGES && diff.complete && commits.complete;
  return {
    summary:
      `deploy ${plan.service} at ${plan.commit.slice(0, 12)} to ${plan.environment}: ${shortRef(plan.ref)}`.slice(
        0,
        300,
      ),
    verb: "DEPLOY",
    changes: changed.slice(0, MAX_CHANGES).map(({ op, path, before, after }) => ({
      op,
      resource: showPath(path),
      before: before === undefined ? null : describeFile(before),
      after: after === undefined ? null : describeFile(after),
    })),
    counts: {
      files: manifest.files.length,
      files_added: count("create"),
      files_changed: count("update"),
      files_removed: count("delete"),
      commits: range.commits.length,
      bytes: plan.manifest.bytes,
    },
    facts: {
      commit: plan.commit,
      tree: plan.tree,
      ref: plan.ref,
      ref_kind: parts.refKind,
      release: plan.release,
      current_release: current?.id ?? "",
      current_commit: current?.manifest?.commit ?? "",
      first_deploy: current === null,
      fast_forward: range.relation === "ahead" || range.relation === "same",
      current_drifted: (current?.drifted.length ?? 0) > 0,
      has_health: plan.health !== null,
    },
    warnings: listWarnings(parts, changed, diff, complete),
    documents: [
      { title: "commits", kind: "text", body: commits.text },
      { title: "files", kind: "diff", body: diff.text },
      { title: "commands", kind: "text", body: describeCommands(plan) },
    ],
    complete,
    reversible:
      plan.previous === null
        ? "the link can be removed; there is no release before this one"
        : `${plan.previous.release} is kept and can be switched back to; what the service did meanwhile stays`,
    fidelity: "exact",
  };
}

interface FileChange {
  readonly op: "create" | "update" | "delete";
  readonly path: string;
  readonly before: FoundFile | undefined;
  readonly after: ManifestFile | undefined;
}

function listChanges(manifest: Manifest, current: CurrentRelease | null): readonly FileChange[] {
  const after = new Map(manifest.files.map((file) => [file.path, file]));
  const paths = new Set([...after.keys(), ...(current?.files.keys() ?? [])]);
  const changes: FileChange[] = [];
  for (const path of [...paths].sort()) {
    const change = { path, before: current?.files.get(path), after: after.get(path) };
    if (isSame(change.before, change.after)) continue;
    changes.push({
      op: change.before === undefined ? "create" : change.after === undefined ? "delete" : "update",
      ...change,
    });
  }
  return changes;
}

// From the operator's registration; shown because they run.
function describeCommands({ check, health, keep }: DeployPlan): string {
  const show = (command: DeployPlan["check"]): string =>
    command === null ? "none" : `${JSON.stringify(command.run)}, at most ${command.timeout} ms`;
  return `before the switch: ${show(check)}\nafter the switch: ${show(health)}\nreleases kept: ${keep}\n`;
}

const KINDS = { "100644": "file", "100755": "executable", "120000": "symlink" } as const;

const describeFile = (file: FoundFile): string =>
  `${KINDS[file.mode]}, ${file.size} bytes, sha256:${file.sha256.slice(0, 16)}`;

const shortRef = (ref: string): string =>
  ref.replace(/^refs\/heads\//, "branch ").replace(/^refs\/tags\//, "tag ");

interface Diff {
  readonly text: string;
  readonly complete: boolean;
  readonly binaries: readonly string[];
  readonly hidden: readonly string[];
}

// Whole, or `complete: false`: never shortened in silence. Files come in order, so what doesn't fit is at the end.
async function buildDiff(parts: ViewParts, changes: readonly FileChange[]): Promise<Diff> {
  const binaries: string[] = [];
  const hidden: string[] = [];
  const out: string[] = [];
  let bytes = 0;
  let left = changes.length;
  for (const change of changes) {
    const before = change.before === undefined ? null : await parts.readOld(change.path);
    const after = change.after === undefined ? null : await parts.readNew(change.after);
    const text = diffFile(change, before, after);
    if (text.binary) binaries.push(change.path);
    if (HIDDEN_CHARACTERS.test(text.added)) hidden.push(change.path);
    bytes += Buffer.byteLength(text.body);
    if (bytes > parts.maxDiffBytes) {
      out.push(
        `\n${left} changed files are not shown: the whole diff is longer than ${parts.maxDiffBytes} bytes\n`,
      );
      return { text: out.join(""), complete: false, binaries, hidden };
    }
    out.push(text.body);
    left -= 1;
  }
  return { text: out.join("") || "no file changes\n", complete: true, binaries, hidden };
}

function diffFile(
  change: FileChange,
  before: Buffer | null,
  after: Buffer | null,
): { readonly body: string; readonly binary: boolean; readonly added: string } {
  const path = showPath(change.path);
  const lines: string[] = [`diff a/${path} b/${path}\n`];
  if (change.before === undefined) lines.push(`new ${modeLine(change.after)}`);
  else if (change.after === undefined) lines.push(`deleted ${modeLine(change.before)}`);
  else if (change.before.mode !== change.after.mode) {
    lines.push(`old ${modeLine(change.before)}`, `new ${modeLine(change.after)}`);
  }
  const oldText = before === null ? "" : asText(before);
  const newText = after === null ? "" : asText(after);
  if (oldText === undefined || newText === undefined) {
    for (const [sign, file] of [
      ["-", change.before],
      ["+", change.after],
    ] as const) {
      if (file !== undefined) lines.push(`${sign}not text: ${file.size} bytes, sha256:${file.sha256}\n`);
    }
    return { body: lines.join(""), binary: true, added: "" };
  }
  const hunks = diffHunks(oldText, newText);
  if (hunks !== "") {
    lines.push(`--- ${change.before === undefined ? "/dev/null" : `a/${path}`}\n`);
    lines.push(`+++ ${change.after === undefined ? "/dev/null" : `b/${path}`}\n`, hunks);
  }
  const added = hunks.split("\n").filter((line) => line.startsWith("+"));
  return { body: lines.join(""), binary: false, added: added.join("\n") };
}

// New names hold no control characters; what already lies on disk may, and must not forge lines of a diff.
const showPath = (path: string): string =>
  path
    .replaceAll(/[\p{Cc}\u2028\u2029]/gu, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .toWellFormed();

const modeLine = (file: FoundFile | undefined): string => `file mode ${file?.mode ?? ""}\n`;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function asText(bytes: Buffer): string | undefined {
  if (bytes.subarray(0, 65_536).includes(0)) return undefined;
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function listWarnings(
  parts: ViewParts,
  changes: readonly FileChange[],
  diff: Diff,
  complete: boolean,
): Warning[] {
  const { plan, current, range } = parts;
  const warnings: Warning[] = [];
  const warn = (code: string, text: string): void => void warnings.push({ code, text });
  const warnPaths = (code: string, text: string, paths: readonly string[]): void => {
    if (paths.length > 0) warn(code, `${paths.length} ${text}: ${nameSome(paths)}`);
  };
  const gains = (mode: ManifestFile["mode"]): readonly string[] =>
    changes.filter((one) => one.after?.mode === mode && one.before?.mode !== mode).map((one) => one.path);

  if (!complete) warn("incomplete", "the change is too large to be shown whole");
  if (current === null) warn("first_deploy", "nothing is served yet: there is no release to switch back to");
  if (range.relation === "diverged")
    warn("not_fast_forward", "the current commit is not part of the new history");
  if (range.relation === "behind") warn("older_commit", "the new commit is older than the current one");
  if (range.relation === "unknown") warn("history_unknown", "the current release's commit is not known here");
  if (changes.length === 0) warn("no_changes", "every file is the same as in the current release");
  if (plan.health === null)
    warn("no_health", "no health command is registered: a release that fails stays current");
  if (current !== null && current.manifest === null) {
    warn("current_foreign", `the current release ${current.id} was not made by this tool`);
  }
  warnPaths("current_drifted", "files of the current release were changed on disk", current?.drifted ?? []);
  if (current !== null && current.extras > 0) {
    warn(
      "current_extras",
      `${current.extras} files stand in the current release that were not deployed; they are not carried over`,
    );
  }
  warnPaths("executable_files", "files become executable", gains("100755"));
  warnPaths("symlinks", "symbolic links are new", gains("120000"));
  warnPaths("binary_files", "files are not text and are shown by their digest only", diff.binaries);
  warnPaths("hidden_characters", "files gain characters that show nothing or turn text around", diff.hidden);
  warnPaths(
    "hidden_names",
    "names hold characters that show nothing or turn text around",
    changes.map((one) => one.path).filter((path) => HIDDEN_CHARACTERS.test(path)),
  );
  return warnings;
}

function nameSome(paths: readonly string[]): string {
  const some = paths
    .slice(0, 5)
    .map(showPath)
    .map((path) => (path.length > 120 ? `${path.slice(0, 119)}…` : path));
  return paths.length > some.length
    ? `${some.join(", ")} and ${paths.length - some.length} more`
    : some.join(", ");
}
