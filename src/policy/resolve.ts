import { timestamp } from "../base/clock.ts";
import { parseDuration } from "../base/duration.ts";
import { nearest } from "../base/suggest.ts";
import type { SourceError, YamlPath, YamlSource } from "../base/yaml.ts";
import type { Effect } from "../request/action-request.ts";
import { isGlob } from "./glob.ts";
import { refuseSharedKeys, refuseSharedNames } from "./one-holder.ts";
import type { RawApprove, RawPolicy, RawRule } from "./schema.ts";
import { meets, type Assurance, type ExecuteWhen, type VerdictKind } from "./verdict.ts";

// From the file to the document whose digest is the revision: names checked, groups flattened to people, defaults
// filled in, lists sorted. Two files that mean the same give the same document, in whatever order they were written.
// Tests stand outside: they say what the policy should do and change nothing about what it does.

export interface ApproveDocument {
  readonly by: readonly string[];
  readonly quorum: number;
  readonly assurance: Assurance;
  readonly within_ms: number;
  readonly execute_within_ms: number;
  readonly execute: ExecuteWhen;
  readonly escalate: readonly { readonly after_ms: number; readonly to: readonly string[] }[];
  /** Absent: nobody is reminded. */
  readonly remind_ms?: number;
}

export interface OnCallDocument {
  readonly people: readonly string[];
  readonly every_ms: number;
  /** UTC timestamp. */
  readonly starts: string;
}

export interface MatchDocument {
  readonly tool: readonly string[] | null;
  readonly environment: readonly string[] | null;
  readonly agent: readonly string[] | null;
  readonly principal: readonly string[] | null;
  readonly effect: readonly Effect[] | null;
  readonly target_kind: readonly string[] | null;
  readonly target: readonly string[] | null;
}

export interface RuleDocument {
  readonly id: string;
  readonly mode: "enforce" | "shadow";
  readonly match: MatchDocument;
  readonly when: string | null;
  readonly verdict: VerdictKind;
  /** Set for hold. */
  readonly approve: ApproveDocument | null;
  readonly because: string | null;
  readonly mask: readonly string[];
  readonly tags: readonly string[];
}

export interface PersonDocument {
  readonly name: string;
  readonly disabled: boolean;
  readonly os: readonly string[];
  readonly ssh: readonly { readonly fingerprint: string; readonly user_verified: boolean }[];
  readonly slack: string | null;
  readonly oidc: { readonly issuer: string; readonly subject: string } | null;
}

/** Absent `oidc`: no account. Where it is absent, the document is what it was before there were accounts. */
export interface AgentDocument {
  readonly owners: readonly string[];
  readonly description: string | null;
  readonly oidc?: NonNullable<RawPolicy["agents"][string]["oidc"]>;
}

export interface ServiceDocument {
  readonly description: string | null;
  readonly oidc?: { readonly issuer: string; readonly subject: string };
}

export interface PolicyDocument {
  readonly version: 1;
  readonly adopt: "signed" | "on_save";
  readonly people: Readonly<Record<string, PersonDocument>>;
  /** Flattened to people; disabled ones included. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
  /** Groups whose one member changes with time; all of their people stand under `groups` too. Absent: none. */
  readonly on_call?: Readonly<Record<string, OnCallDocument>>;
  readonly agents: Readonly<Record<string, AgentDocument>>;
  readonly services: Readonly<Record<string, ServiceDocument>>;
  readonly solo: string | null;
  readonly defaults: { readonly approve: ApproveDocument | null };
  readonly policy_change: {
    readonly by: readonly string[];
    readonly quorum: number;
    readonly assurance: Assurance;
  } | null;
  readonly masks: Readonly<Record<string, { readonly keys: readonly string[] }>>;
  /** By id. */
  readonly rules: Readonly<Record<string, RuleDocument>>;
}

const DEFAULT_APPROVE = { quorum: 1, assurance: "A2", within: "30m", execute_within: "10m" } as const;
const MAX_WITHIN_MS = 30 * 86_400_000;
const MAX_EXECUTE_WITHIN_MS = 86_400_000;
const MAX_TURN_MS = 366 * 86_400_000;
/** A shorter turn, or reminder, would be noise. */
const SHORTEST_MS = 60_000;

/** Resolves the file; whatever is wrong goes to `errors`, and the document is only meaningful if nothing did. */
export function resolvePolicy(raw: RawPolicy, source: YamlSource, errors: SourceError[]): PolicyDocument {
  const fail = (path: YamlPath, message: string, suggestion: string | null = null): void => {
    errors.push(source.error(path, message, { suggestion }));
  };
  const known = (
    path: YamlPath,
    name: string,
    what: string,
    names: readonly string[],
    elsewhere = "",
  ): boolean => {
    if (names.includes(name)) return true;
    fail(path, `no ${what} "${name}"${elsewhere}`, nearest(name, names));
    return false;
  };
  const people = Object.keys(raw.people);
  const groups = Object.keys(raw.groups);
  const agents = Object.keys(raw.agents);
  const services = Object.keys(raw.services);

  const toGroups = (path: YamlPath, by: string | readonly string[]): string[] => {
    for (const [i, name] of list(by).entries()) {
      const isPerson = people.includes(name) && !groups.includes(name);
      known(
        typeof by === "string" ? path : [...path, i],
        name,
        "group",
        groups,
        isPerson ? `, but a person; make a group: groups: { only-${name}: [${name}] }` : "",
      );
    }
    return sorted(list(by));
  };
  const milliseconds = (path: YamlPath, text: string, max: number): number => {
    const ms = parseDuration(text);
    if (ms === undefined || ms > max)
      fail(path, `expected more than nothing and at most ${max / 3_600_000}h`);
    return ms ?? 0;
  };
  const atLeastAMinute = (path: YamlPath, text: string, max: number): number => {
    const ms = milliseconds(path, text, max);
    if (ms > 0 && ms < SHORTEST_MS) fail(path, "expected at least 1m");
    return ms;
  };
  const provable = (path: YamlPath, assurance: Assurance): Assurance => {
    if (assurance === "A4")
      fail(path, "A4 needs verified device attestation, which this release does not have; use A3");
    if (!meets(assurance, "A1")) fail(path, "A0 proves nothing about who decided; use A1 or more");
    return assurance;
  };
  const resolveApprove = (path: YamlPath, own: RawApprove, base: RawApprove): ApproveDocument => {
    // A place for what was inherited is the place where it was written.
    const at = (key: keyof RawApprove): YamlPath =>
      own[key] === undefined ? ["defaults", "approve", key] : [...path, key];
    const by = own.by ?? base.by;
    const remind = own.remind ?? base.remind;
    if (by === undefined) fail(path, "missing by: which groups are asked");
    return {
      by: by === undefined ? [] : toGroups(at("by"), by),
      quorum: own.quorum ?? base.quorum ?? DEFAULT_APPROVE.quorum,
      assurance: provable(at("assurance"), own.assurance ?? base.assurance ?? DEFAULT_APPROVE.assurance),
      within_ms: milliseconds(
        at("within"),
        own.within ?? base.within ?? DEFAULT_APPROVE.within,
        MAX_WITHIN_MS,
      ),
      execute_within_ms: milliseconds(
        at("execute_within"),
        own.execute_within ?? base.execute_within ?? DEFAULT_APPROVE.execute_within,
        MAX_EXECUTE_WITHIN_MS,
      ),
      execute: own.execute ?? base.execute ?? "on_approval",
      escalate: (own.escalate ?? base.escalate ?? []).map(({ after, to }, i) => ({
        after_ms: milliseconds([...at("escalate"), i, "after"], after, MAX_WITHIN_MS),
        to: toGroups([...at("escalate"), i, "to"], to),
      })),
      ...(remind === undefined ? {} : { remind_ms: atLeastAMinute(at("remind"), remind, MAX_WITHIN_MS) }),
    };
  };

  refuseSharedNames(raw, fail);
  refuseSharedKeys(raw, fail);
  for (const [agent, { owners }] of Object.entries(raw.agents)) {
    owners.forEach((owner, i) => known(["agents", agent, "owners", i], owner, "person", people));
  }
  if (
    raw.solo !== undefined &&
    known(["solo"], raw.solo, "person", people) &&
    raw.people[raw.solo]?.disabled
  ) {
    fail(["solo"], `${raw.solo} is disabled`);
  }

  const defaultApprove = raw.defaults.approve;
  const rules = new Map<string, RuleDocument>();
  const resolveRule = (rule: RawRule, i: number): RuleDocument => {
    const path = ["rules", i];
    const exact = (key: "agent" | "principal", what: string, names: readonly string[]): void => {
      for (const [n, name] of list(rule.match[key] ?? []).entries()) {
        if (!isGlob(name))
          known(
            [...path, "match", key, ...(typeof rule.match[key] === "string" ? [] : [n])],
            name,
            what,
            names,
          );
      }
    };
    exact("agent", "agent", agents);
    exact("principal", "person or service", [...people, ...services]);
    for (const mask of list(rule.mask ?? [])) known([...path, "mask"], mask, "mask", Object.keys(raw.masks));
    if (rule.verdict !== "hold" && rule.approve)
      fail([...path, "approve"], `approve is for hold, not ${rule.verdict}`);
    if (rule.verdict === "hold" && !rule.approve && !defaultApprove) {
      fail(path, "a hold needs approve, here or under defaults");
    }
    const isAsking = rule.verdict === "hold" && (rule.approve ?? defaultApprove) !== undefined;
    return {
      id: rule.id,
      mode: rule.mode ?? "enforce",
      match: {
        tool: patterns(rule.match.tool),
        environment: patterns(rule.match.environment),
        agent: patterns(rule.match.agent),
        principal: patterns(rule.match.principal),
        effect: rule.match.effect === undefined ? null : sorted(list(rule.match.effect)),
        target_kind: patterns(rule.match.target_kind),
        target: patterns(rule.match.target),
      },
      when: rule.when?.trim() ?? null,
      verdict: rule.verdict,
      approve: isAsking
        ? resolveApprove([...path, "approve"], rule.approve ?? {}, defaultApprove ?? {})
        : null,
      because: rule.because ?? null,
      mask: sorted(list(rule.mask ?? [])),
      tags: sorted(rule.tags ?? []),
    };
  };
  raw.rules.forEach((rule, i) => {
    if (rules.has(rule.id)) fail(["rules", i, "id"], `a second rule named "${rule.id}"`);
    const resolved = resolveRule(rule, i);
    if (!rules.has(rule.id)) rules.set(rule.id, resolved);
  });

  const change = raw.policy_change;
  for (const group of list(change?.by ?? [])) {
    // Whose turn it is must not decide who may change the rules about whose turn it is.
    if (isOnCall(raw.groups[group])) fail(["policy_change", "by"], `${group} is on call; name a fixed group`);
  }
  return {
    version: 1,
    adopt: raw.adopt,
    people: mapValues(raw.people, (person) => ({
      name: person.name,
      disabled: person.disabled ?? false,
      os: sorted(person.os ?? []),
      ssh: (person.ssh ?? [])
        .map((key) => (typeof key === "string" ? { fingerprint: key, user_verified: false } : key))
        .sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1)),
      slack: person.slack ?? null,
      oidc: person.oidc ?? null,
    })),
    groups: flattenGroups(raw, fail),
    ...resolveOnCall(raw, fail, atLeastAMinute),
    agents: mapValues(raw.agents, ({ owners, description, oidc }) => ({
      owners: sorted(owners),
      description: description ?? null,
      ...(oidc === undefined ? {} : { oidc }),
    })),
    services: mapValues(raw.services, ({ description, oidc }) => ({
      description: description ?? null,
      ...(oidc === undefined ? {} : { oidc }),
    })),
    solo: raw.solo ?? null,
    defaults: {
      approve: defaultApprove ? resolveApprove(["defaults", "approve"], defaultApprove, {}) : null,
    },
    policy_change: change
      ? {
          by: toGroups(["policy_change", "by"], change.by),
          quorum: change.quorum,
          assurance: provable(["policy_change", "assurance"], change.assurance),
        }
      : null,
    masks: mapValues(raw.masks, ({ keys }) => ({ keys: sorted(keys) })),
    rules: Object.fromEntries(rules),
  };
}

export type Fail = (path: YamlPath, message: string, suggestion?: string | null) => void;

function flattenGroups(raw: RawPolicy, fail: Fail): Record<string, string[]> {
  const names = [...Object.keys(raw.people), ...Object.keys(raw.groups)];
  for (const [group, members] of Object.entries(raw.groups)) {
    if (isOnCall(members)) continue;
    for (const [i, member] of members.entries()) {
      if (!names.includes(member)) {
        fail(["groups", group, i], `no person or group "${member}"`, nearest(member, names));
      } else if (isOnCall(raw.groups[member])) {
        fail(
          ["groups", group, i],
          `${member} is on call and can't be part of a group; name both where you ask`,
        );
      }
    }
  }
  const members = (group: string, above: readonly string[]): readonly string[] => {
    const own = raw.groups[group]!;
    if (isOnCall(own)) return own.on_call.people;
    return own.flatMap((member) => {
      if (above.includes(member)) {
        fail(["groups", above[0]!], `contains itself: ${[...above, member].join(" > ")}`);
        return [];
      }
      if (Object.hasOwn(raw.groups, member) && !Object.hasOwn(raw.people, member))
        return members(member, [...above, member]);
      return [member];
    });
  };
  return Object.fromEntries(Object.keys(raw.groups).map((group) => [group, sorted(members(group, [group]))]));
}

type RawGroup = RawPolicy["groups"][string];
const isOnCall = (group: RawGroup | undefined): group is Exclude<RawGroup, readonly string[]> =>
  group !== undefined && !Array.isArray(group);

/** The rotations of the file; no member where there is none, so that such a document is what it always was. */
function resolveOnCall(
  raw: RawPolicy,
  fail: Fail,
  toMs: (path: YamlPath, text: string, max: number) => number,
): Pick<PolicyDocument, "on_call"> {
  const rotations: Record<string, OnCallDocument> = {};
  const people = Object.keys(raw.people);
  for (const [group, value] of Object.entries(raw.groups)) {
    if (!isOnCall(value)) continue;
    const { on_call: rotation } = value;
    const path = ["groups", group, "on_call"];
    rotation.people.forEach((person, i) => {
      if (!people.includes(person))
        fail([...path, "people", i], `no person "${person}"`, nearest(person, people));
    });
    const startsAt = Date.parse(rotation.starts);
    if (!Number.isFinite(startsAt)) fail([...path, "starts"], "there is no such day or time");
    rotations[group] = {
      people: rotation.people,
      every_ms: toMs([...path, "every"], rotation.every, MAX_TURN_MS),
      starts: Number.isFinite(startsAt) ? timestamp(startsAt) : "",
    };
  }
  return Object.keys(rotations).length === 0 ? {} : { on_call: rotations };
}

const list = <T>(value: T | readonly T[]): readonly T[] =>
  Array.isArray(value) ? (value as readonly T[]) : [value as T];
const sorted = <T extends string>(values: readonly T[]): T[] => [...new Set(values)].sort();

function patterns(value: string | readonly string[] | undefined): string[] | null {
  if (value === undefined) return null;
  const all = sorted(list(value));
  return all.includes("*") ? ["*"] : all;
}

function mapValues<A, B>(record: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}
