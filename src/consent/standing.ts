import type { OpenQuestion, PendingQuestion } from "./desk.ts";
import type { PersonId } from "../request/principal.ts";

/** Where a person stands towards a question, for the card. The desk decides; this only says beforehand. */
export type Standing =
  /** C1: principal, in the chain, or an owner of the agent. */
  | { readonly kind: "requester"; readonly as: "principal" | "chain" | "owner" }
  | { readonly kind: "not_asked" }
  | { readonly kind: "decided"; readonly decision: string }
  /** Would be this approval of that clause. `solo`: their own request, and the policy lets them (C6). */
  | {
      readonly kind: "approver";
      readonly solo: boolean;
      readonly clauses: readonly {
        readonly from: readonly string[];
        readonly nth: number;
        readonly count: number;
      }[];
    };

export function standingOf(
  person: PersonId,
  open: Pick<PendingQuestion, "requester" | "requirement" | "quorum" | "eligible"> & {
    readonly decisions: readonly Pick<OpenQuestion["decisions"][number], "person" | "decision" | "counted">[];
  },
): Standing {
  const { requester } = open;
  const solo = open.requirement.solo === person;
  const own =
    requester.principal.kind === "person" && requester.principal.id === person
      ? "principal"
      : requester.chain.includes(person)
        ? "chain"
        : requester.owners.includes(person)
          ? "owner"
          : null;
  if (own !== null && !solo) return { kind: "requester", as: own };
  const standing = open.decisions.findLast((decision) => decision.person === person && decision.counted);
  if (standing !== undefined && standing.decision !== "take_back") {
    return { kind: "decided", decision: standing.decision === "approve" ? "approved" : "denied" };
  }
  const clauses = open.quorum.clauses.flatMap(({ clause, by }, index) =>
    solo || open.eligible[index]?.includes(person) === true
      ? [{ from: clause.from, nth: by.length + 1, count: clause.count }]
      : [],
  );
  if (clauses.length === 0) return { kind: "not_asked" };
  return { kind: "approver", solo: solo && own !== null, clauses };
}

/** The same for a line of a list, where only the approvals that count are at hand. */
export const standingInList = (person: PersonId, pending: PendingQuestion): Standing =>
  standingOf(person, {
    requester: pending.requester,
    requirement: pending.requirement,
    quorum: pending.quorum,
    eligible: pending.eligible,
    decisions: pending.quorum.clauses.flatMap(({ by }) =>
      by.map((who) => ({ person: who, decision: "approve" as const, counted: true })),
    ),
  });

/** One sentence about it, for the card. Names of groups are the operator's. */
export function standingWords(person: PersonId, standing: Standing): string {
  switch (standing.kind) {
    case "requester": {
      const as = {
        principal: "the agent acts for you",
        chain: "you are in the chain it acts for",
        owner: "you own the agent",
      };
      return `${person}: you can't decide, ${as[standing.as]}`;
    }
    case "not_asked":
      return `${person}: you are not among those who are asked now`;
    case "decided":
      return `${person}: you have ${standing.decision} already`;
    case "approver": {
      const nth = standing.clauses.map(({ from, nth: n, count }) =>
        n > count
          ? `one more than the ${count} asked of ${from.join(", ")}`
          : `approval ${n} of ${count} from ${from.join(", ")}`,
      );
      return `${person}: you would be ${nth.join(" and ")}${standing.solo ? " (solo: your own request)" : ""}`;
    }
  }
}
