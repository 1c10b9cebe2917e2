import { digestJson, type Digest } from "../base/digest.ts";
import type { JsonObject } from "../base/canonical-json.ts";
import type { Assurance } from "../policy/verdict.ts";

// Whose key it was, by the policy that ran. A receipt carries the resolved policy document: its RFC 8785 bytes hash to
// the revision that `policy.adopted` recorded, so nothing has to be believed and no YAML has to be parsed.
//
// Only what verification needs is read, and tolerantly: a document is the operator's, of this release or another.

export interface PolicyPeople {
  /** The person a key is enrolled for, and whether as one that verifies its user; null for a key of nobody. */
  ownerOf(fingerprint: string): { readonly person: string; readonly userVerified: boolean } | null;
  nameOf(person: string): string | null;
  /** What it took to change the policy, and to invite people; null where nobody could. */
  readonly policyChange: {
    readonly by: readonly string[];
    readonly quorum: number;
    readonly assurance: Assurance;
  } | null;
  /** Files that changed ran at once, so whoever could write them could invite. */
  readonly adoptsOnSave: boolean;
  /** Members of any of the groups, all with turns in a group on call; a person may be named directly. */
  isMember(person: string, groups: readonly string[]): boolean;
  /** The same at one moment, epoch milliseconds: of a group on call only whose turn it is. */
  isAsked(person: string, groups: readonly string[], at: number): boolean;
}

/** True where the document is the one of that revision. */
export const isRevision = (document: unknown, revision: Digest): boolean =>
  digestJson("policy", document) === revision;

export function readPolicyPeople(document: JsonObject): PolicyPeople {
  const people = objectOf(document["people"]);
  const groups = objectOf(document["groups"]);
  const rotations = objectOf(document["on_call"]);
  const isDisabled = (person: string): boolean => objectOf(people[person])["disabled"] === true;
  const isMember = (person: string, of: readonly string[]): boolean =>
    !isDisabled(person) &&
    of.some((group) => (group in groups ? listOf(groups[group]).includes(person) : group === person));
  const onCall = (group: string, at: number): unknown => {
    const { people: turns, every_ms: everyMs, starts } = objectOf(rotations[group]);
    const list = listOf(turns);
    const turn = Math.max(0, Math.floor((at - Date.parse(String(starts))) / Number(everyMs)));
    for (let i = 0; i < list.length; i += 1) {
      const person = list[(turn + i) % list.length];
      if (!isDisabled(String(person))) return person;
    }
    return null;
  };
  const change = objectOf(document["policy_change"]);
  const { quorum, assurance } = change;
  const isChange = typeof quorum === "number" && quorum >= 1 && typeof assurance === "string";
  return {
    adoptsOnSave: document["adopt"] === "on_save",
    policyChange: isChange
      ? {
          by: listOf(change["by"]).filter((group) => typeof group === "string"),
          quorum,
          assurance: assurance as Assurance,
        }
      : null,
    ownerOf(fingerprint) {
      for (const [person, entry] of Object.entries(people)) {
        const fields = objectOf(entry);
        if (fields["disabled"] === true) continue;
        for (const key of listOf(fields["ssh"])) {
          const { fingerprint: enrolled, user_verified: verified } = objectOf(key);
          if (enrolled === fingerprint) return { person, userVerified: verified === true };
        }
      }
      return null;
    },
    nameOf(person) {
      const name = objectOf(people[person])["name"];
      return typeof name === "string" ? name : null;
    },
    isMember,
    isAsked: (person, of, at) =>
      of.some(
        (group) => isMember(person, [group]) && (!(group in rotations) || onCall(group, at) === person),
      ),
  };
}

const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
