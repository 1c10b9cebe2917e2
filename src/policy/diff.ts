import { canonicalJson } from "../base/canonical-json.ts";
import { formatDuration } from "../base/duration.ts";
import { accountText } from "./accounts.ts";
import { demandsAsMuch } from "./evaluate.ts";
import { globCovers } from "./glob.ts";
import type { Policy } from "./policy.ts";
import type { ApproveDocument, MatchDocument, PolicyDocument, RuleDocument } from "./resolve.ts";
import { ASSURANCES, type VerdictKind } from "./verdict.ts";

/** One difference in meaning. */
export interface PolicyDifference {
  /** `rule prod-deletes-need-two: quorum 2 -> 1` */
  readonly text: string;
  /** True where it can let more through, or ask for fewer or weaker people. In doubt it is true. */
  readonly weaker: boolean;
}

/** What adopting `after` would change, in the words of the file. Empty where the two mean the same. */
export function diffPolicies(
  before: Pick<Policy, "document">,
  after: Pick<Policy, "document">,
): PolicyDifference[] {
  const a = before.document as unknown as PolicyDocument;
  const b = after.document as unknown as PolicyDocument;
  const differences = [
    ...diffValue("adopt", a.adopt, b.adopt, b.adopt === "on_save"),
    ...diffValue("solo", a.solo, b.solo, b.solo !== null),
    ...diffChange(a.policy_change, b.policy_change),
    ...diffApprove("defaults.approve", a.defaults.approve, b.defaults.approve),
    ...diffPeople(a, b),
    ...diffSets("group", mapValues(a.groups), mapValues(b.groups), { added: true, removed: false }),
    ...diffOnCall(a, b),
    ...diffAgents(a, b),
    ...diffKeys("service", a.services, b.services, { added: true, removed: false }),
    ...diffAccounts("service", a.services, b.services),
    ...diffSets(
      "mask",
      mapValues(a.masks, ({ keys }) => keys),
      mapValues(b.masks, ({ keys }) => keys),
      { added: false, removed: true },
    ),
    ...diffRules(a, b),
  ];
  // Nothing that changes the revision goes unsaid.
  if (differences.length > 0 || canonicalJson(a) === canonicalJson(b)) return differences;
  return [{ text: "descriptions or empty groups changed", weaker: false }];
}

/** Whether more of it, or less of it, is weaker. */
interface Direction {
  readonly added: boolean;
  readonly removed: boolean;
}

function diffValue(what: string, a: string | null, b: string | null, weaker: boolean): PolicyDifference[] {
  return a === b ? [] : [{ text: `${what}: ${a ?? "none"} -> ${b ?? "none"}`, weaker }];
}

function diffList(
  what: string,
  a: readonly string[],
  b: readonly string[],
  { added, removed }: Direction,
): PolicyDifference[] {
  return [
    ...b.filter((one) => !a.includes(one)).map((one) => ({ text: `${what}: ${one} added`, weaker: added })),
    ...a
      .filter((one) => !b.includes(one))
      .map((one) => ({ text: `${what}: ${one} removed`, weaker: removed })),
  ];
}

function diffKeys(what: string, a: object, b: object, direction: Direction): PolicyDifference[] {
  return [
    ...missing(b, a).map((key) => ({ text: `${what} ${key}: added`, weaker: direction.added })),
    ...missing(a, b).map((key) => ({ text: `${what} ${key}: removed`, weaker: direction.removed })),
  ];
}

function diffSets(
  what: string,
  a: Readonly<Record<string, readonly string[]>>,
  b: Readonly<Record<string, readonly string[]>>,
  direction: Direction,
): PolicyDifference[] {
  return [...new Set([...Object.keys(a), ...Object.keys(b)])]
    .sort()
    .flatMap((key) => diffList(`${what} ${key}`, own(a, key) ?? [], own(b, key) ?? [], direction));
}

function diffPeople(a: PolicyDocument, b: PolicyDocument): PolicyDifference[] {
  const differences = diffKeys("person", a.people, b.people, { added: true, removed: false });
  for (const id of Object.keys(b.people)) {
    const [before, after] = [own(a.people, id), b.people[id]!];
    if (!before) continue;
    const what = `person ${id}`;
    const more = { added: true, removed: false };
    const keyNames = ({ ssh }: typeof after): string[] =>
      ssh.map((key) => `${key.fingerprint}${key.user_verified ? " (user_verified)" : ""}`);
    differences.push(
      ...diffValue(`${what} name`, before.name, after.name, false),
      ...diffValue(what, state(before.disabled), state(after.disabled), !after.disabled),
      ...diffList(`${what} os`, before.os, after.os, more),
      ...diffList(`${what} ssh`, keyNames(before), keyNames(after), more),
      ...diffValue(`${what} slack`, before.slack, after.slack, after.slack !== null),
      ...diffValue(`${what} oidc`, oidcText(before.oidc), oidcText(after.oidc), after.oidc !== null),
    );
  }
  return differences;
}

const state = (disabled: boolean): string => (disabled ? "disabled" : "enabled");
const oidcText = (oidc: Parameters<typeof accountText>[0] | null | undefined): string | null =>
  oidc === null || oidc === undefined ? null : accountText(oidc);

// Whoever has the account asks as the service, or as the agent with its owners.
function diffAccounts<T extends { readonly oidc?: Parameters<typeof accountText>[0] }>(
  what: string,
  a: Readonly<Record<string, T>>,
  b: Readonly<Record<string, T>>,
): PolicyDifference[] {
  return Object.entries(b).flatMap(([id, { oidc }]) =>
    diffValue(`${what} ${id} oidc`, oidcText(own(a, id)?.oidc), oidcText(oidc), oidc !== undefined),
  );
}

// One owner fewer is one person more who may approve what the agent asks.
function diffAgents(a: PolicyDocument, b: PolicyDocument): PolicyDifference[] {
  const owners = ({ agents }: PolicyDocument, other: PolicyDocument): Record<string, readonly string[]> =>
    Object.fromEntries(
      Object.entries(agents).flatMap(([id, agent]) => (own(other.agents, id) ? [[id, agent.owners]] : [])),
    );
  return [
    ...diffKeys("agent", a.agents, b.agents, { added: true, removed: false }),
    ...diffAccounts("agent", a.agents, b.agents),
    ...diffSets("owners of agent", owners(a, b), owners(b, a), { added: false, removed: true }),
  ];
}

function diffChange(
  a: PolicyDocument["policy_change"],
  b: PolicyDocument["policy_change"],
): PolicyDifference[] {
  if (a === null || b === null) {
    if (a === b) return [];
    return [{ text: `policy_change: ${b === null ? "removed" : "added"}`, weaker: true }];
  }
  return diffDemand("policy_change", a, b);
}

interface Demand {
  readonly by: readonly string[];
  readonly quorum: number;
  readonly assurance: ApproveDocument["assurance"];
}

function diffDemand(what: string, a: Demand, b: Demand): PolicyDifference[] {
  const isWeakerProof = ASSURANCES.indexOf(b.assurance) < ASSURANCES.indexOf(a.assurance);
  return [
    ...diffList(`${what}: by`, a.by, b.by, { added: true, removed: false }).map(({ text, weaker }) => ({
      text: text.replace(": by: ", ": by "),
      weaker,
    })),
    ...diffNumber(what, "quorum", a.quorum, b.quorum, b.quorum < a.quorum, String),
    ...(a.assurance === b.assurance
      ? []
      : [{ text: `${what}: assurance ${a.assurance} -> ${b.assurance}`, weaker: isWeakerProof }]),
  ];
}

function diffNumber(
  what: string,
  field: string,
  a: number,
  b: number,
  weaker: boolean,
  show: (value: number) => string,
): PolicyDifference[] {
  return a === b ? [] : [{ text: `${what}: ${field} ${show(a)} -> ${show(b)}`, weaker }];
}

function diffApprove(what: string, a: ApproveDocument | null, b: ApproveDocument | null): PolicyDifference[] {
  if (a === null || b === null) {
    if (a === b) return [];
    // Without a default, what no rule speaks about is denied.
    return [{ text: `${what}: ${b === null ? "removed" : `added, ${demandText(b)}`}`, weaker: a === null }];
  }
  return [
    ...diffDemand(what, a, b),
    ...diffNumber(what, "within", a.within_ms, b.within_ms, b.within_ms > a.within_ms, formatDuration),
    ...diffNumber(
      what,
      "execute_within",
      a.execute_within_ms,
      b.execute_within_ms,
      b.execute_within_ms > a.execute_within_ms,
      formatDuration,
    ),
    ...(a.execute === b.execute
      ? []
      : [{ text: `${what}: execute ${a.execute} -> ${b.execute}`, weaker: b.execute === "on_approval" }]),
    ...diffEscalation(what, a, b),
    ...diffValue(`${what}: remind`, remindText(a), remindText(b), false),
  ];
}

const remindText = ({ remind_ms: ms }: ApproveDocument): string | null =>
  ms === undefined ? null : `every ${formatDuration(ms)}`;

/** More people who may answer, or sooner, is weaker. */
function diffEscalation(what: string, a: ApproveDocument, b: ApproveDocument): PolicyDifference[] {
  const text = ({ escalate }: ApproveDocument): string | null =>
    escalate.length === 0
      ? null
      : escalate.map(({ after_ms, to }) => `${to.join(", ")} after ${formatDuration(after_ms)}`).join("; ");
  // What is asked for at the start is a line of its own.
  const widens = b.escalate.some(({ after_ms: afterMs, to }) =>
    to.some(
      (group) =>
        !a.by.includes(group) &&
        !a.escalate.some((step) => step.after_ms <= afterMs && step.to.includes(group)),
    ),
  );
  return diffValue(`${what}: escalate`, text(a), text(b), widens);
}

/** Another rotation is another person at some moment. Only a group that was not on call before is the stricter for it. */
function diffOnCall(a: PolicyDocument, b: PolicyDocument): PolicyDifference[] {
  const text = (document: PolicyDocument, group: string): string | null => {
    const rotation = own(document.on_call ?? {}, group);
    if (rotation === undefined) return null;
    return `${rotation.people.join(", ")} every ${formatDuration(rotation.every_ms)} from ${rotation.starts}`;
  };
  const groups = new Set([...Object.keys(a.on_call ?? {}), ...Object.keys(b.on_call ?? {})]);
  return [...groups].sort().flatMap((group) => {
    const isNew = own(a.on_call ?? {}, group) === undefined;
    return diffValue(`group ${group}: on call`, text(a, group), text(b, group), !isNew && group in b.groups);
  });
}

const demandText = ({ by, quorum, assurance }: Demand): string =>
  `${quorum} of ${by.join(", ")} with ${assurance}`;

const STRICTNESS: Readonly<Record<VerdictKind, number>> = { allow: 0, hold: 1, deny: 2 };

function diffRules(a: PolicyDocument, b: PolicyDocument): PolicyDifference[] {
  return [
    ...missing(b.rules, a.rules).map((id) => {
      const rule = b.rules[id]!;
      return {
        text: `rule ${id}: added, ${ruleText(rule)}`,
        weaker: isWeakerToAdd(rule, a.defaults.approve),
      };
    }),
    ...missing(a.rules, b.rules).map((id) => {
      const rule = a.rules[id]!;
      return {
        text: `rule ${id}: removed, was ${ruleText(rule)}`,
        weaker: rule.mode === "enforce" && (rule.verdict !== "allow" || rule.mask.length > 0),
      };
    }),
    ...Object.keys(b.rules).flatMap((id) => {
      const before = own(a.rules, id);
      return before ? diffRule(before, b.rules[id]!, a.defaults.approve) : [];
    }),
  ];
}

// A hold takes the place of the default where nothing else matched, so it weakens if it asks for less than that.
function isWeakerToAdd(rule: RuleDocument, fallback: ApproveDocument | null): boolean {
  if (rule.mode === "shadow" || rule.verdict === "deny") return false;
  if (rule.verdict === "allow" || fallback === null) return true;
  return !demandsAsMuch(rule.approve!, fallback);
}

function ruleText(rule: RuleDocument): string {
  const verdict = rule.approve ? `hold for ${demandText(rule.approve)}` : rule.verdict;
  return rule.mode === "shadow" ? `${verdict} (shadow)` : verdict;
}

function diffRule(a: RuleDocument, b: RuleDocument, fallback: ApproveDocument | null): PolicyDifference[] {
  const what = `rule ${a.id}`;
  const isAllow = b.verdict === "allow";
  const isWeakerWhereNew = isWeakerToAdd({ ...b, mode: "enforce" }, fallback);
  const differences: PolicyDifference[] = [];
  const add = (text: string, weaker: boolean): void =>
    void differences.push({ text: `${what}: ${text}`, weaker });

  if (a.mode !== b.mode) {
    add(`${a.mode} -> ${b.mode}`, b.mode === "shadow" ? !isAllow || b.mask.length > 0 : isWeakerWhereNew);
  }
  if (a.verdict !== b.verdict) {
    add(`verdict ${a.verdict} -> ${b.verdict}`, STRICTNESS[b.verdict] < STRICTNESS[a.verdict]);
  }
  for (const field of Object.keys(b.match) as (keyof MatchDocument)[]) {
    const [before, after] = [a.match[field], b.match[field]];
    if (JSON.stringify(before) === JSON.stringify(after)) continue;
    const isWidened = !covers(before, after);
    const isNarrowed = !covers(after, before);
    const isWeaker = (isWidened && isWeakerWhereNew) || (isNarrowed && !isAllow);
    add(`match.${field} ${patternText(before)} -> ${patternText(after)}`, isWeaker);
  }
  if (a.when !== b.when) {
    const isWidened = b.when === null || a.when !== null;
    const isNarrowed = a.when === null || b.when !== null;
    const isWeaker = (isWidened && isWeakerWhereNew) || (isNarrowed && !isAllow);
    add(`when ${conditionText(a.when)} -> ${conditionText(b.when)}`, isWeaker);
  }
  if (a.approve && b.approve) differences.push(...diffApprove(what, a.approve, b.approve));
  else if (b.approve) add(`asks ${demandText(b.approve)}`, a.verdict === "deny");
  differences.push(...diffList(`${what}: mask`, a.mask, b.mask, { added: false, removed: true }));
  if (a.because !== b.because) add(`because ${quote(a.because)} -> ${quote(b.because)}`, false);
  differences.push(...diffList(`${what}: tags`, a.tags, b.tags, { added: false, removed: false }));
  return differences;
}

const covers = (wide: readonly string[] | null, narrow: readonly string[] | null): boolean =>
  wide === null || (narrow !== null && narrow.every((one) => wide.some((many) => globCovers(many, one))));

const patternText = (patterns: readonly string[] | null): string =>
  patterns === null ? "any" : patterns.join(", ");
const conditionText = (when: string | null): string =>
  when === null ? "none" : `\`${when.replace(/\s+/g, " ")}\``;
const quote = (text: string | null): string => (text === null ? "none" : JSON.stringify(text));

const missing = (from: object, inOther: object): string[] =>
  Object.keys(from).filter((key) => !Object.hasOwn(inOther, key));
const own = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;
const mapValues = <A, B = A>(
  record: Readonly<Record<string, A>>,
  change: (value: A) => B = (value) => value as unknown as B,
): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
