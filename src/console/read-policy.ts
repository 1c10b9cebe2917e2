import type { Digest } from "../base/digest.ts";
import { parseYaml } from "../base/yaml.ts";
import { isFault } from "../errors.ts";
import type { Proposal } from "../gate/home.ts";
import type { Entry } from "../log/entry.ts";
import type { Rotation } from "../policy/on-call.ts";
import type { PolicyDocument, RuleDocument } from "../policy/resolve.ts";
import { readEntry, readLog } from "./read-log.ts";
import type { ConsoleHome } from "./reader.ts";

/** A rule, and the lines of the file that say it. */
export interface RuleText {
  readonly rule: RuleDocument;
  /** As it stands in the adopted file; null where the text is gone. */
  readonly text: string | null;
  readonly line: number | null;
}

export interface PolicyReading {
  readonly document: PolicyDocument;
  readonly revision: Digest;
  readonly rules: readonly RuleText[];
  readonly warnings: readonly string[];
  /** Newest first, the newest twenty. */
  readonly history: readonly Entry<"policy.adopted">[];
  readonly adoptions: number;
  /** Groups whose one member changes with time. */
  readonly onCall: ReadonlyMap<string, Rotation>;
  readonly proposal: Proposal | null;
  /** People who signed the proposal as it stands. */
  readonly signed: readonly string[];
}

const NEWEST = 20;

/** Reads what the policy page shows: the running revision, its words, its history, and what waits to be adopted. */
export async function readPolicy(home: ConsoleHome): Promise<PolicyReading> {
  await home.store.catchUp();
  const policy = home.adoption.current();
  const document = policy.document as unknown as PolicyDocument;
  const sequence = home.adoption.sequence();
  const history: Entry<"policy.adopted">[] = [];
  for (const seq of sequence.slice(-NEWEST).reverse()) {
    const read = await readEntry(home.store, seq);
    if (read?.entry.kind === "policy.adopted") history.push(read.entry);
  }
  const text = history[0] === undefined ? null : await readText(home, history[0]);
  const proposal = await home.adoption.proposal().catch((error: unknown) => {
    // A policy without `policy_change` can't be changed; the page says what it can.
    if (isFault(error)) return null;
    throw error;
  });
  return {
    document,
    revision: policy.revision,
    rules: ruleTexts(document, text),
    warnings: policy.warnings.map(({ line, column, message }) => `policy.yaml:${line}:${column} ${message}`),
    history,
    adoptions: sequence.length,
    onCall: policy.onCall,
    proposal,
    signed: proposal?.changed === true ? await signersOf(home, proposal, sequence.at(-1) ?? 0) : [],
  };
}

async function readText(home: ConsoleHome, adopted: Entry<"policy.adopted">): Promise<string | null> {
  try {
    return new TextDecoder().decode(await home.store.blobs.get("policy", adopted.data.text));
  } catch (error) {
    if (isFault(error, "BLOB_MISSING") || isFault(error, "BLOB_CORRUPT")) return null;
    throw error;
  }
}

async function signersOf(home: ConsoleHome, proposal: Proposal, since: number): Promise<readonly string[]> {
  const { entries } = await readLog(home.store, {
    before: null,
    group: "policy",
    subject: null,
    words: null,
  });
  const people = entries.flatMap((entry) =>
    entry.kind === "policy.endorsed" &&
    entry.seq > since &&
    entry.data.statement.to.policy === proposal.revision &&
    entry.data.statement.to.registry === proposal.registry &&
    entry.data.statement.to.registry === proposal.registry
      ? [entry.data.statement.approver]
      : [],
  );
  return [...new Set(people)].sort();
}

/** Rules in the order of the file, each with its own lines. */
function ruleTexts(document: PolicyDocument, text: string | null): readonly RuleText[] {
  const rules = Object.values(document.rules);
  const source = text === null ? null : parseYaml(text, "policy.yaml");
  if (text === null || source?.ok !== true) return rules.map((rule) => ({ rule, text: null, line: null }));
  const listed = (source.value.value as { rules?: { id?: string }[] }).rules ?? [];
  const lines = text.split("\n");
  const starts = listed.map((_, i) => source.value.locate(["rules", i]).line);
  const found = listed.map(({ id }, i) => {
    const rule = rules.find((one) => one.id === id);
    const from = starts[i] ?? 1;
    return rule === undefined ? [] : [{ rule, text: slice(lines, from, starts[i + 1] ?? null), line: from }];
  });
  return found.flat();
}

/** Lines of one list item: up to the next one, or to the next key of the file; without what trails. */
function slice(lines: readonly string[], from: number, next: number | null): string {
  const rest = lines.slice(from - 1, next === null ? undefined : next - 1);
  const end = next === null ? rest.findIndex((line, i) => i > 0 && /^[^\s#-]/.test(line)) : -1;
  const own = end < 0 ? rest : rest.slice(0, end);
  while (own.length > 1 && /^\s*(?:#.*)?$/.test(own.at(-1) ?? "")) own.pop();
  const indent = Math.min(...own.filter((line) => line.trim() !== "").map((line) => line.search(/\S/)));
  return own.map((line) => line.slice(indent)).join("\n");
}
