import type { FC } from "hono/jsx";
import { formatDuration } from "../base/duration.ts";
import type { Rotation } from "../policy/on-call.ts";
import type { ApproveDocument } from "../policy/resolve.ts";
import { ExplainForm, type Explained, type ExplainFields } from "./explain-form.tsx";
import { Icon } from "./icon.tsx";
import { Empty, Page, type Frame } from "./layout.tsx";
import type { PolicyReading, RuleText } from "./read-policy.ts";
import type { Viewer } from "./reader.ts";
import { counted, DigestText, Line, Lines, Moment } from "./text.tsx";

export interface PolicyPageProps {
  readonly frame: Frame;
  readonly viewer: Viewer;
  readonly reading: PolicyReading;
  readonly tools: readonly string[];
  readonly fields: ExplainFields;
  readonly explained: Explained | null;
}

/** Which rules run, in the words of the file; what waits to be adopted; how it came about; and what it would say. */
export const PolicyPage: FC<PolicyPageProps> = ({ frame, viewer, reading, tools, fields, explained }) => {
  const { document, rules, history } = reading;
  return (
    <Page frame={frame} title="Policy" at="/policy" follows="policy" kind="policy">
      <div class="page-head">
        <h1>Policy</h1>
        <p class="lede">
          {counted(rules.length, "rule")}. The strictest that matches wins; where none does, people are asked.
        </p>
        <p class="fine">
          Revision <DigestText digest={reading.revision} />
        </p>
      </div>
      <Proposed reading={reading} viewer={viewer} />
      {reading.warnings.length === 0 ? null : (
        <div class="note note-warn" role="note">
          <Icon name="warning" />
          <div>
            <b>It loads, and is probably not meant so</b>
            <ul>
              {reading.warnings.map((warning) => (
                <li>
                  <Line text={warning} />
                </li>
              ))}
            </ul>
          </div>
        </div>
      )}
      <section aria-labelledby="rules-title">
        <h2 id="rules-title">Rules</h2>
        {rules.length === 0 ? (
          <Empty icon="policy" title="No rules yet">
            <p>Everything but reads waits for people. Add rules to policy.yaml, then adopt them here.</p>
          </Empty>
        ) : null}
        <ul class="rule-list">
          {rules.map((one) => (
            <RuleCard one={one} />
          ))}
        </ul>
        <Defaults approve={document.defaults.approve} />
      </section>
      <ExplainForm
        fields={fields}
        explained={explained}
        tools={tools}
        environments={[...new Set(rules.flatMap(({ rule }) => rule.match.environment ?? []))]}
        agents={Object.keys(document.agents)}
      />
      <section class="card" aria-labelledby="groups-title">
        <h2 id="groups-title">Groups and agents</h2>
        <dl class="plain-facts">
          {Object.entries(document.groups).map(([group, people]) => (
            <>
              <dt>{group}</dt>
              <dd>
                <Members people={people} rotation={reading.onCall.get(group)} />
              </dd>
            </>
          ))}
          {Object.entries(document.agents).map(([agent, { owners, description }]) => (
            <>
              <dt>
                {agent} <span class="fine">agent</span>
              </dt>
              <dd>
                owned by {owners.join(", ")}
                {description === null ? null : (
                  <span class="fine">
                    {" "}
                    <Line text={description} />
                  </span>
                )}
              </dd>
            </>
          ))}
        </dl>
      </section>
      <section class="card" data-live="history" id="history" aria-labelledby="history-title">
        <h2 id="history-title">Revisions</h2>
        <ol class="timeline">
          {history.map((entry) => (
            <li class="moment tone-good">
              <div class="moment-head">
                <b>
                  {
                    { first: "First policy", on_save: "Adopted on save", signed: "Adopted, signed" }[
                      entry.data.mode
                    ]
                  }
                </b>
                <a class="seq" href={`/log/${entry.seq}`}>
                  <span class="sr">entry </span>#{entry.seq}
                </a>
              </div>
              <p>
                <DigestText digest={entry.data.revision} />
              </p>
              {entry.data.statements.length === 0 ? null : (
                <p>Signed by {entry.data.statements.map(({ statement }) => statement.approver).join(", ")}</p>
              )}
              <Moment at={Date.parse(entry.time)} />
            </li>
          ))}
        </ol>
        {reading.adoptions > history.length ? (
          <p class="fine">
            {reading.adoptions} in all; <a href="/log?kind=policy">older ones in the log</a>
          </p>
        ) : null}
      </section>
    </Page>
  );
};

/** Everybody of a group, or those who take turns, in the order of their turns. */
const Members: FC<{ people: readonly string[]; rotation: Rotation | undefined }> = ({ people, rotation }) =>
  rotation === undefined ? (
    <>{people.length === 0 ? "nobody" : people.join(", ")}</>
  ) : (
    <>
      {rotation.people.join(", then ")}
      <span class="fine"> one at a time, for {formatDuration(rotation.everyMs)} each</span>
    </>
  );

const TONES = { allow: "good", hold: "wait", deny: "bad" } as const;

const RuleCard: FC<{ one: RuleText }> = ({ one: { rule, text, line } }) => (
  <li class={`rule verdict-${rule.verdict}`} id={`rule-${rule.id}`}>
    <div class="rule-head">
      <h3>{rule.id}</h3>
      <span class={`chip tone-${TONES[rule.verdict]}`}>{rule.verdict}</span>
      {rule.mode === "shadow" ? <span class="chip">shadow: changes nothing</span> : null}
    </div>
    {rule.because === null ? null : (
      <p class="because">
        <Lines text={rule.because} />
      </p>
    )}
    {rule.approve === null ? null : <Asks approve={rule.approve} />}
    {text === null ? null : (
      <details class="digests file-text" open>
        <summary>
          policy.yaml, line {line}
          <span class="sr"> of {rule.id}</span>
        </summary>
        <pre class="code-block" tabindex={0}>
          <Lines text={text} code />
        </pre>
      </details>
    )}
  </li>
);

const Asks: FC<{ approve: ApproveDocument }> = ({ approve }) => (
  <p class="fine">
    Asks {approve.quorum} of {approve.by.join(" or ")} with {approve.assurance} or better, within{" "}
    {formatDuration(approve.within_ms)}
    {approve.escalate.map(
      ({ after_ms: after, to }) => `; after ${formatDuration(after)} also ${to.join(", ")}`,
    )}
    {approve.remind_ms === undefined ? "" : `; reminds every ${formatDuration(approve.remind_ms)}`}
  </p>
);

const Defaults: FC<{ approve: ApproveDocument | null }> = ({ approve }) => (
  <div class="rule verdict-hold">
    <div class="rule-head">
      <h3>Everything else</h3>
      <span class="chip tone-wait">hold</span>
    </div>
    {approve === null ? (
      <p>Nobody is named under defaults.approve: such calls are denied.</p>
    ) : (
      <Asks approve={approve} />
    )}
  </div>
);

/** The file against what runs, and the button that signs for it (P6). */
const Proposed: FC<{ reading: PolicyReading; viewer: Viewer }> = ({ reading, viewer }) => {
  const { proposal, signed, document } = reading;
  return (
    <section data-live="proposal" id="proposal" aria-label="Proposed change">
      {proposal === null || !proposal.changed ? null : proposal.revision === null ? (
        <div class="note note-bad" role="note">
          <Icon name="warning" />
          <div>
            <b>policy.yaml does not load; the adopted revision goes on running</b>
            <ul>
              {proposal.errors.map((error) => (
                <li>
                  <Line text={error} />
                </li>
              ))}
            </ul>
          </div>
        </div>
      ) : (
        <div class="card proposal">
          <h2>policy.yaml differs from what runs</h2>
          {proposal.diff.length === 0 ? <p>Nothing changes in what it does.</p> : null}
          <ul class="policy-diff">
            {proposal.diff.map(({ text, weaker }) => (
              <li class={weaker ? "weaker" : undefined}>
                <Line text={text} />
                {weaker ? <span class="chip tone-bad">weaker</span> : null}
              </li>
            ))}
          </ul>
          <p class="fine">
            To revision <DigestText digest={proposal.revision} />
          </p>
          {proposal.needs === null ? (
            <p>The running policy adopts a valid file on save: it will run in a moment.</p>
          ) : (
            <>
              <p>
                Needs {proposal.needs.quorum} of {proposal.needs.by.join(" or ")} with{" "}
                {proposal.needs.assurance} or better.{" "}
                {signed.length === 0 ? "Nobody has signed yet." : `Signed by ${signed.join(", ")}.`}
              </p>
              {signed.includes(viewer.person) ? (
                <p>
                  <b>You have signed this.</b>
                </p>
              ) : mayAdopt(document, proposal.needs.by, viewer.person) ? (
                <form
                  data-action="adopt"
                  data-from={reading.revision}
                  data-revision={proposal.revision}
                  data-registry={proposal.registry}
                  class="js-only"
                  hidden
                >
                  <input type="hidden" name="with" value={viewer.passkey === null ? "session" : "passkey"} />
                  <p class="sheet-error" role="alert"></p>
                  <button class="button primary" data-submit>
                    Sign to adopt
                  </button>
                </form>
              ) : (
                <p class="fine">You are in none of these groups.</p>
              )}
              <p class="fine">
                In a terminal: <code>countersign policy adopt</code>
              </p>
            </>
          )}
        </div>
      )}
    </section>
  );
};

const mayAdopt = (document: PolicyReading["document"], by: readonly string[], person: string): boolean =>
  by.some((group) => (document.groups[group] ?? [group]).includes(person));
