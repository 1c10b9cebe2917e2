import type { FC } from "hono/jsx";
import { DECISION_REFUSALS } from "../consent/entries.ts";
import type { Standing } from "../consent/standing.ts";
import type { PersonId } from "../request/principal.ts";
import type { Dossier } from "./dossier.ts";
import { Icon } from "./icon.tsx";
import { Escalations, OnCall } from "./request-waiting.tsx";
import { Distance, Line, Lines, Moment, type Sheet } from "./text.tsx";

/** Which agent, for whom, and what the reader is in it. */
export const Requester: FC<{ dossier: Dossier; standing: Standing | null; person: PersonId }> = ({
  dossier,
  standing,
}) => {
  const requester = dossier.question?.requester ?? dossier.received?.requester;
  if (requester === undefined) return null;
  const client = dossier.received?.client ?? null;
  return (
    <section class="requester" aria-label="Who asks">
      <p>
        Agent <b>{requester.agent}</b> asks for {requester.principal.kind} <b>{requester.principal.id}</b>
        {requester.chain.length === 0 ? "" : `, on behalf of ${requester.chain.join(", ")}`}
        {requester.owners.length === 0 ? "." : `. The agent is owned by ${requester.owners.join(", ")}.`}
      </p>
      {client === null ? null : (
        <p class="fine">
          Its client says it is <Line text={`${client.name} ${client.version}`} /> (unverified).
        </p>
      )}
      <div data-live="standing" id="standing">
        {standing === null ? null : <StandingLine standing={standing} />}
      </div>
    </section>
  );
};

const OWN = {
  principal: "The agent acts for you, so you can’t decide about this request.",
  chain: "You are in the chain that the agent acts for, so you can’t decide about this request.",
  owner: "You own this agent, so you can’t decide about this request.",
} as const;

const StandingLine: FC<{ standing: Standing }> = ({ standing }) => {
  switch (standing.kind) {
    case "requester":
      return <p class="standing standing-no">{OWN[standing.as]} Somebody else has to.</p>;
    case "not_asked":
      return <p class="standing standing-no">You are in none of the groups that are asked.</p>;
    case "decided":
      return <p class="standing standing-yes">You have {standing.decision} this already.</p>;
    case "approver":
      return (
        <p class="standing standing-yes">
          You would be{" "}
          {standing.clauses.map(({ from, nth, count }, i) => (
            <>
              {i > 0 ? " and " : ""}
              {nth > count ? (
                <>
                  one more than the {count} asked of {from.join(" or ")}
                </>
              ) : (
                <>
                  <b>
                    approval {nth} of {count}
                  </b>{" "}
                  from {from.join(" or ")}
                </>
              )}
            </>
          ))}
          .{standing.solo ? " This is your own request: log and receipt will say solo." : ""}
        </p>
      );
  }
};

/** The rule that fired, and why. */
export const Rules: FC<{ dossier: Dossier; sheet: Sheet | null }> = ({ dossier, sheet }) => {
  const rules = dossier.shown?.view.rules ?? [];
  const { question } = dossier;
  return (
    <section class="rules" aria-labelledby="rules-title">
      <h2 id="rules-title">Why people are asked</h2>
      {rules.length === 0 ? <p>No rule matched: the policy’s default asks people.</p> : null}
      <ul>
        {rules.map((rule, i) => (
          <li>
            <a class="rule-id" href={`/policy#rule-${encodeURIComponent(rule.id)}`}>
              {sheet?.cell(`/rules/${i}/id`)}
            </a>
            {rule.because === null ? null : <p class="lines">{sheet?.cell(`/rules/${i}/because`)}</p>}
          </li>
        ))}
      </ul>
      {question === null ? null : (
        <p class="fine">
          {question.execute === "on_approval"
            ? "Runs as soon as enough people approved."
            : "Runs once enough people approved, while the caller is still there."}
        </p>
      )}
    </section>
  );
};

/** Deadline and code: the same in card, console, terminal and transcript. */
export const Asked: FC<{ dossier: Dossier; now: number }> = ({ dossier, now }) => {
  const { question, code, pending } = dossier;
  if (question === null) return null;
  const deadline = Date.parse(question.deadline);
  return (
    <section class="asked" aria-label="Deadline and code">
      <dl>
        <div>
          <dt>Deadline</dt>
          <dd>
            <Moment at={deadline} />{" "}
            {pending === null ? null : (
              <span class="fine">
                <Distance at={deadline} now={now} />
              </span>
            )}
            <span class="fine"> No answer is a no.</span>
          </dd>
        </div>
        <div>
          <dt>Request code</dt>
          <dd>
            <code class="code" id="code">
              {code}
            </code>
            <span class="fine"> Compare it with the agent’s transcript or the terminal.</span>
          </dd>
        </div>
      </dl>
    </section>
  );
};

/** What people asked back, and what the agent said: claims, boxed. */
export const Inquiries: FC<{ dossier: Dossier }> = ({ dossier }) => (
  <section class="inquiries" data-live="inquiries" id="inquiries" aria-label="Questions to the agent">
    {dossier.inquiries.length === 0 ? null : (
      <>
        <h2>Questions to the agent</h2>
        <ol>
          {dossier.inquiries.map((inquiry) => (
            <li>
              <p class="asks">
                <b>{inquiry.person}</b> asked, <Moment at={Date.parse(inquiry.at)} form="short" />
              </p>
              <p>
                <Lines text={inquiry.text} />
              </p>
              {inquiry.answers.length === 0 ? (
                <p class="none">The agent has not answered yet.</p>
              ) : (
                inquiry.answers.map((answer) => (
                  <blockquote class="unverified">
                    <p class="unverified-label">
                      Agent {answer.agent} answers (unverified),{" "}
                      <Moment at={Date.parse(answer.at)} form="short" />
                    </p>
                    <p>
                      <Lines text={answer.text} />
                    </p>
                  </blockquote>
                ))
              )}
            </li>
          ))}
        </ol>
      </>
    )}
  </section>
);

const PROOF: Readonly<Record<string, string>> = {
  A1: "any sign-in",
  A2: "a fresh sign-in or a key",
  A3: "a passkey or key that verifies its user",
};

/** Every clause, who met it, what is missing; then every decision. */
export const Quorum: FC<{ dossier: Dossier; nameOf: (person: PersonId) => string; now: number }> = ({
  dossier,
  nameOf,
  now,
}) => {
  const { pending, requirement, decisions } = dossier;
  if (requirement === null) return <p class="none">No person was asked: the policy decided by itself.</p>;
  const clauses =
    pending?.quorum.clauses ??
    requirement.clauses.map((clause) => ({ clause, by: [] as readonly string[], missing: null }));
  return (
    <>
      <ul class="clauses">
        {clauses.map(({ clause, by, missing }, i) => (
          <li class={missing === 0 ? "clause met" : "clause"}>
            <p>
              <b>
                {clause.count} of {clause.from.join(" or ")}
              </b>{" "}
              <span class="chip" title={PROOF[clause.assurance]}>
                {clause.assurance} or better
              </span>
            </p>
            {missing === null ? null : (
              <>
                <progress
                  value={clause.count - missing}
                  max={clause.count}
                  aria-label={`${clause.count - missing} of ${clause.count} approvals`}
                ></progress>
                <p class="fine">
                  {by.length === 0 ? "Nobody yet" : by.join(", ")}
                  {missing > 0 ? `, ${missing} missing` : ": met"}
                </p>
              </>
            )}
            <Escalations dossier={dossier} clause={clause} at={i} isMet={missing === 0} now={now} />
          </li>
        ))}
      </ul>
      <OnCall dossier={dossier} nameOf={nameOf} />
      {requirement.solo === null ? null : (
        <p class="note note-warn">
          <b>{requirement.solo}</b> may decide alone here (solo); log and receipt will say so.
        </p>
      )}
      {decisions.length === 0 ? null : (
        <ul class="decisions">
          {decisions.map(({ person, statement, counted, why_not: whyNot, assurance, time }) => (
            <li class={counted ? `said-${statement.decision}` : "said-nothing"}>
              <Icon
                name={
                  statement.decision === "approve"
                    ? "check"
                    : statement.decision === "deny"
                      ? "cross"
                      : "undo"
                }
              />
              <div>
                <b>{person}</b>{" "}
                {
                  { approve: "approved", deny: "denied", take_back: "took the approval back" }[
                    statement.decision
                  ]
                }{" "}
                <span class="fine">
                  {assurance}, <Moment at={Date.parse(time)} form="short" />
                </span>
                {counted ? null : (
                  <p class="fine">
                    Not counted: {whyNot === null ? "unknown" : (DECISION_REFUSALS[whyNot] ?? whyNot)}
                  </p>
                )}
                {statement.reason === null ? null : (
                  <p>
                    <Lines text={statement.reason} />
                  </p>
                )}
              </div>
            </li>
          ))}
        </ul>
      )}
    </>
  );
};
