import { parseTimestamp } from "../base/clock.ts";
import type { ConsentEntries } from "../consent/entries.ts";
import type { PolicyPeople } from "./policy-document.ts";
import { CLOCK_SLACK_MS, type Problem } from "./verify-decision.ts";

// What may happen around a question while it waits: more people are asked, and somebody asks back. A log that adds
// people before their time, or people whom the requirement never named, lets the wrong ones decide.
//
//   C2. A decision counts by who was asked at that moment. C5. An escalation is a step of the requirement whose time had
//       come, before the deadline, and comes once.

type Asked = ConsentEntries["consent.asked"];

/** What was seen of one waiting question. */
export interface Waiting {
  readonly steps: { readonly clause: number; readonly step: number }[];
  /** Inquiries by id; true once answered. */
  readonly inquiries: Map<string, boolean>;
}

export const newWaiting = (): Waiting => ({ steps: [], inquiries: new Map() });

/** The groups that may serve a clause: its own, and those of the steps that came. */
export function groupsAsked({ requirement }: Asked, { steps }: Waiting, clause: number): readonly string[] {
  const { from = [], escalate = [] } = requirement.clauses[clause] ?? {};
  return [...from, ...steps.flatMap((one) => (one.clause === clause ? (escalate[one.step]?.to ?? []) : []))];
}

/**
 * Positions of the clauses that a decision at `at` could serve, and what is wrong where it counted for none, or says
 * more. A turn that ended as the entry was written still counts. Without the people of the policy, what the entry says
 * is taken, as far as there are such clauses.
 */
export function checkServed(
  asked: Asked,
  waiting: Waiting,
  { person, statement, counted, clauses }: ConsentEntries["decision.recorded"],
  people: PolicyPeople | null,
  at: number,
): { readonly serves: readonly number[]; readonly wrong: readonly Problem[] } {
  const serves = [...asked.requirement.clauses.keys()].filter((clause) => {
    if (people === null) return clauses?.includes(clause) !== false;
    const groups = groupsAsked(asked, waiting, clause);
    return people.isAsked(person, groups, at) || people.isAsked(person, groups, at - CLOCK_SLACK_MS);
  });
  if (!counted || statement.decision === "take_back") return { serves, wrong: [] };
  const holds = serves.length > 0 && (clauses ?? serves).every((clause) => serves.includes(clause));
  const message = `${person} was not asked at that moment`;
  return { serves, wrong: holds ? [] : [{ code: "not_eligible", message, rule: "C2" }] };
}

/** Notes an escalation, and says what is wrong with it. */
export function checkEscalated(
  asked: Asked,
  waiting: Waiting,
  escalated: ConsentEntries["consent.escalated"],
  at: number,
): readonly Problem[] {
  const problems: Problem[] = [];
  const wrong = (message: string): void => {
    problems.push({ code: "escalation_invalid", message, rule: "C5" });
  };
  if (escalated.question !== asked.digest) wrong("the escalation is of another question");
  const { asked_at: askedAt, deadline } = asked.question;
  if (at > parseTimestamp(deadline) + CLOCK_SLACK_MS) wrong(`the deadline was ${deadline}`);
  const named = new Set<string>();
  for (const { clause, step } of escalated.steps) {
    const due = asked.requirement.clauses[clause]?.escalate?.[step];
    if (due === undefined) {
      wrong(`the requirement has no step ${step} in clause ${clause}`);
      continue;
    }
    for (const group of due.to) named.add(group);
    if (waiting.steps.some((one) => one.clause === clause && one.step === step)) {
      wrong(`step ${step} of clause ${clause} came twice`);
      continue;
    }
    if (at + CLOCK_SLACK_MS < parseTimestamp(askedAt) + due.afterMs) {
      wrong(`step ${step} of clause ${clause} had not come due`);
      continue;
    }
    waiting.steps.push({ clause, step });
  }
  if ([...named].sort().join() !== [...escalated.to].sort().join())
    wrong(`the steps name ${[...named].sort().join(", ")}, the entry ${escalated.to.join(", ")}`);
  return problems;
}

/** Notes a question to the agent or its answer, and says what is wrong with it. */
export function checkInquiry(
  asked: Asked,
  waiting: Waiting,
  entry:
    | { readonly made: ConsentEntries["inquiry.made"] }
    | { readonly answered: ConsentEntries["inquiry.answered"] },
): readonly Problem[] {
  const wrong = (message: string): readonly Problem[] => [{ code: "out_of_order", message }];
  if ("made" in entry) {
    const { question, inquiry } = entry.made;
    if (question !== asked.digest || waiting.inquiries.has(inquiry))
      return wrong(`${inquiry} is about another question, or was asked before`);
    waiting.inquiries.set(inquiry, false);
    return [];
  }
  const { inquiry } = entry.answered;
  if (waiting.inquiries.get(inquiry) !== false) return wrong(`${inquiry} was not asked, or answered before`);
  waiting.inquiries.set(inquiry, true);
  return [];
}
