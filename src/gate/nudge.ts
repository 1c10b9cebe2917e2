import { parseTimestamp } from "../base/clock.ts";
import type { Consent } from "../consent/consents.ts";
import { peopleFor, quorumOf } from "../consent/quorum.ts";
import type { EntryDraft } from "../log/entry.ts";
import type { Policy } from "../policy/policy.ts";
import type { PersonId } from "../request/principal.ts";
import type { GateParts } from "./parts.ts";

// What the steward does about questions that nobody answers: more people are asked, and those who are asked are told
// again. Both are entries before anybody hears of them (L1), so a restart or a second process repeats neither.
//
//   C5. Waiting only ever adds people who may answer. After the deadline nothing is added any more.

/** A wall clock that is further behind is wrong: nothing is granted then, and an entry's time would belie the step. */
const MOST_BEHIND_MS = 5_000;

/** So many reminders are recorded of one question: a long wait must not fill the log. */
const MOST_REMINDERS = 100;

type NudgeParts = Pick<GateParts, "clock" | "state" | "store" | "regime" | "deadlines" | "log">;

/** Does what has come due, of all open questions. */
export function createNudge(parts: NudgeParts): () => Promise<void> {
  const { clock, state, deadlines } = parts;

  /** True once `at` has come by either clock; counted from the deadline, which both clocks watch. */
  const hasCome = ({ request, deadline }: Consent, at: number): boolean =>
    deadlines.isPast("consent", request, deadline, deadline - at);

  const escalation = (consent: Consent, policy: Policy): EntryDraft<"consent.escalated"> | null => {
    const { askedAt, requirement } = consent;
    // The time first: of thousands of questions a few have a step that has come, and only theirs are counted.
    const due = requirement.clauses.flatMap(({ escalate = [] }, index) =>
      escalate.flatMap(({ afterMs }, step) =>
        !consent.escalated.some((one) => one.clause === index && one.step === step) &&
        hasCome(consent, askedAt + afterMs) &&
        clock.now() >= askedAt + afterMs - MOST_BEHIND_MS
          ? [{ clause: index, step }]
          : [],
      ),
    );
    if (due.length === 0) return null;
    const { clauses } = quorumOf(policy, consent);
    const steps = due.filter(({ clause }) => (clauses[clause]?.missing ?? 0) > 0);
    if (steps.length === 0) return null;
    const to = steps.flatMap(({ clause, step }) => clauses[clause]?.clause.escalate?.[step]?.to ?? []);
    return {
      kind: "consent.escalated",
      subject: consent.request,
      policy: policy.revision,
      data: { question: consent.digest, steps, to: [...new Set(to)].sort() },
    };
  };

  const reminder = (consent: Consent, policy: Policy): EntryDraft<"consent.reminded"> | null => {
    const { remindMs } = consent.requirement;
    if (remindMs === undefined || (consent.reminded?.count ?? 0) >= MOST_REMINDERS) return null;
    // An escalation tells people too, so the count begins again with it.
    const told = [consent.reminded?.at, ...consent.escalated.map(({ at }) => at)];
    const last = Math.max(consent.askedAt, ...told.map((at) => (at === undefined ? 0 : parseTimestamp(at))));
    if (!hasCome(consent, last + remindMs)) return null;
    const people = unanswered(policy, consent, clock.now());
    if (people.length === 0) return null;
    return {
      kind: "consent.reminded",
      subject: consent.request,
      policy: policy.revision,
      data: { question: consent.digest, people },
    };
  };

  return async () => {
    const { policy } = parts.regime.current();
    for (const consent of [...state.consents.byRequest.values()]) {
      const { request, requirement, settled, deadline } = consent;
      const nudges =
        requirement.remindMs !== undefined ||
        requirement.clauses.some(({ escalate }) => escalate !== undefined);
      if (!nudges || settled !== null || deadlines.isPast("consent", request, deadline)) continue;
      const record = state.requests.open.get(request);
      const entry = escalation(consent, policy) ?? reminder(consent, policy);
      if (record === undefined || entry === null) continue;
      const appended = await parts.store.append({
        expect: [{ subject: request, newest: record.newestSeq }],
        newKeys: [],
        entries: [entry],
      });
      // Where something else moved first, the next round looks again.
      if (appended.ok) parts.log.info({ requestId: request, kind: entry.kind }, "people were asked again");
    }
  };
}

/** Those whose approval is still wanted and would count now, and who have none that stands. */
export function unanswered(policy: Policy, consent: Consent, now: number): readonly PersonId[] {
  const answered = new Set(
    consent.decisions
      .filter((one) => one.decision === "approve" && one.counted && !one.takenBack)
      .map(({ person }) => person),
  );
  const people = quorumOf(policy, consent).clauses.flatMap(({ missing }, clause) =>
    missing > 0 ? peopleFor(policy, consent, clause, now) : [],
  );
  return [...new Set(people)].filter((person) => !answered.has(person)).sort();
}
