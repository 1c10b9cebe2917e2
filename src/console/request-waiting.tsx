import type { Child, FC } from "hono/jsx";
import { formatDuration } from "../base/duration.ts";
import type { OpenQuestion } from "../consent/desk.ts";
import type { Clause } from "../policy/verdict.ts";
import type { Dossier } from "./dossier.ts";
import { counted, Distance, Line, Moment } from "./text.tsx";

/** Who else is asked, and when: each step with its time, or when it came. */
export const Escalations: FC<{
  readonly dossier: Dossier;
  readonly clause: Clause;
  /** Place of the clause in the requirement. */
  readonly at: number;
  readonly isMet: boolean;
  readonly now: number;
}> = ({ dossier, clause, at, isMet, now }) => (
  <>
    {(clause.escalate ?? []).map(({ afterMs, to }, step) => {
      const due = dossier.waiting?.escalations.find((one) => one.clause === at && one.step === step);
      return (
        <p class={due?.at === null || due === undefined ? "fine" : "fine escalated"}>
          <EscalationWords due={due} afterMs={afterMs} to={to} isMet={isMet} now={now}>
            {to.every((group) => dossier.escalatedTo.includes(group)) ? ": asked" : ""}
          </EscalationWords>
        </p>
      );
    })}
  </>
);

const EscalationWords: FC<{
  readonly due: OpenQuestion["escalations"][number] | undefined;
  readonly afterMs: number;
  readonly to: readonly string[];
  readonly isMet: boolean;
  readonly now: number;
  readonly children?: Child;
}> = ({ due, afterMs, to, isMet, now, children }) => {
  const groups = <Line text={to.join(", ")} />;
  if (due === undefined || isMet) {
    return (
      <>
        After {formatDuration(afterMs)} also {groups}
        {children}
      </>
    );
  }
  if (due.at !== null) {
    return (
      <>
        <b>{groups} asked too</b>, since <Moment at={Date.parse(due.at)} form="short" />
      </>
    );
  }
  return (
    <>
      {groups} will be asked too <Distance at={due.dueAt} now={now} />, <Moment at={due.dueAt} form="short" />
    </>
  );
};

/** Whose turn it is, and who is reminded; nothing once nobody is asked any more. */
export const OnCall: FC<{ readonly dossier: Dossier; readonly nameOf: (person: string) => string }> = ({
  dossier,
  nameOf,
}) => {
  const { waiting } = dossier;
  if (waiting === null) return null;
  const { onCall, reminders } = waiting;
  return (
    <>
      {onCall.length === 0 ? null : (
        <dl class="on-call">
          {onCall.map(({ group, person, until }) => (
            <div>
              <dt>
                On call for <Line text={group} />
              </dt>
              <dd>
                {person === null ? (
                  "nobody: everybody in it is disabled"
                ) : (
                  <>
                    <b>
                      <Line text={nameOf(person)} />
                    </b>{" "}
                    <span class="fine">
                      until <Moment at={until} form="short" />
                    </span>
                  </>
                )}
              </dd>
            </div>
          ))}
        </dl>
      )}
      {reminders === null ? null : (
        <p class="fine">
          Whoever has not answered is reminded every {formatDuration(reminders.everyMs)}
          {reminders.last === null ? (
            "."
          ) : (
            <>
              ; {counted(reminders.count, "time")} so far, last{" "}
              <Moment at={Date.parse(reminders.last.at)} form="short" />: {reminders.last.people.join(", ")}.
            </>
          )}
        </p>
      )}
    </>
  );
};
