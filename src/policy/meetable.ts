import type { PolicyDocument } from "./resolve.ts";
import { meets, type Assurance } from "./verdict.ts";

// C7. Whether enough people exist who could ever meet a demand. Found at load, not when somebody waits for an answer
// that can't come.

interface Demand {
  readonly by: readonly string[];
  readonly quorum: number;
  readonly assurance: Assurance;
  /** Groups that may answer too, later. */
  readonly escalate?: readonly { readonly to: readonly string[] }[];
}

/** Everybody who is asked at some time: at once, on call, or after an escalation. */
const groupsOf = ({ by, escalate = [] }: Demand): string[] => [
  ...new Set([...by, ...escalate.flatMap(({ to }) => to)]),
];

/** The strongest proof that this person's keys allow; null: none at all. A3 needs a key that verifies its user. */
export function strongestProof(document: PolicyDocument, person: string): Assurance | null {
  const entry = document.people[person];
  if (!entry || entry.disabled || entry.ssh.length === 0) return null;
  return entry.ssh.some((key) => key.user_verified) ? "A3" : "A2";
}

/** People who could serve a demand; `except` are those whom C1 removes. */
export function eligiblePeople(
  document: PolicyDocument,
  demand: Demand,
  except: readonly string[] = [],
  proofOf: typeof strongestProof = strongestProof,
): string[] {
  const members = [...new Set(groupsOf(demand).flatMap((group) => document.groups[group] ?? []))];
  return members.filter((person) => {
    const proof = proofOf(document, person);
    if (proof === null) return false;
    // C6: where one person is asked, solo may decide on an own request, with a key file if need be.
    if (person === document.solo && demand.quorum === 1) return true;
    return meets(proof, demand.assurance) && !except.includes(person);
  });
}

/**
 * True where passkeys could make up for what the keys of the file don't prove: a policy does not hold passkeys, the log
 * does, so their absence from the file is worth a warning and no more.
 */
export const curableByPasskeys = (
  document: PolicyDocument,
  demand: Demand,
  except: readonly string[] = [],
): boolean => {
  const withPasskey: typeof strongestProof = (_, person) =>
    document.people[person]?.disabled === false ? "A3" : null;
  return eligiblePeople(document, demand, except, withPasskey).length >= demand.quorum;
};

/** Why nobody could ever meet a demand; null where it can be met. */
export function whyUnmeetable(
  document: PolicyDocument,
  demand: Demand,
  except: readonly string[] = [],
): string | null {
  const eligible = eligiblePeople(document, demand, except);
  if (eligible.length >= demand.quorum) return null;
  const groups = groupsOf(demand).join(" and ");
  const who = eligible.length === 0 ? "nobody" : `only ${eligible.join(", ")}`;
  const needs = `needs ${demand.quorum} of ${groups} with ${demand.assurance}, and ${who} can`;
  const members = new Set(groupsOf(demand).flatMap((group) => document.groups[group] ?? []));
  if (members.size < demand.quorum) return `${needs}: ${groups} has ${members.size}`;
  return demand.assurance === "A3"
    ? `${needs}; A3 takes a passkey or an ssh key with user_verified: true`
    : needs;
}
