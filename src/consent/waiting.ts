import { onCallAt, turnEndsAt } from "../policy/on-call.ts";
import type { Policy } from "../policy/policy.ts";
import type { Consent } from "./consents.ts";
import type { OpenQuestion } from "./desk.ts";

type Waiting = Pick<
  OpenQuestion,
  "decisions" | "settled" | "escalations" | "reminders" | "onCall" | "inquiries"
>;

/** Where a question stands, as people are shown it beside the static view. `now` in epoch milliseconds. */
export function waitingState(policy: Policy, consent: Consent, now: number): Waiting {
  const { askedAt, requirement, decisions, escalated, reminded } = consent;
  const steps = requirement.clauses.flatMap(({ escalate = [] }, clause) =>
    escalate.map(({ afterMs, to }, step) => ({
      clause,
      step,
      to,
      dueAt: askedAt + afterMs,
      at: escalated.find((one) => one.clause === clause && one.step === step)?.at ?? null,
    })),
  );
  const groups = requirement.clauses.flatMap(({ from, escalate = [] }) => [
    ...from,
    ...escalate.flatMap(({ to }) => to),
  ]);
  return {
    decisions: decisions.map(({ person, decision, counted, whyNot, reason, at, takenBack }) => ({
      person,
      decision,
      counted,
      whyNot,
      reason,
      at,
      takenBack,
    })),
    settled: consent.settled,
    escalations: steps.sort((a, b) => a.dueAt - b.dueAt),
    reminders:
      requirement.remindMs === undefined
        ? null
        : {
            everyMs: requirement.remindMs,
            count: reminded?.count ?? 0,
            last: reminded === null ? null : { at: reminded.at, people: reminded.people },
          },
    onCall: [...new Set(groups)].flatMap((group) => {
      const rotation = policy.onCall.get(group);
      if (rotation === undefined) return [];
      const person = onCallAt(rotation, now, (id) => policy.people.get(id)?.disabled === false);
      return [{ group, person, until: turnEndsAt(rotation, now) }];
    }),
    inquiries: consent.inquiries.map((inquiry) => ({ ...inquiry })),
  };
}
