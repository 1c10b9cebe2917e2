import type { FC } from "hono/jsx";
import { FLAG_WORDS } from "../base/text.ts";
import type { View } from "../preview/view.ts";
import type { Dossier } from "./dossier.ts";
import { ofKind } from "./dossier.ts";
import { Icon } from "./icon.tsx";
import { EnvironmentChip, PHASES, PhaseChip } from "./phase.tsx";
import { Distance, Line, Lines, Moment, type Sheet } from "./text.tsx";

/** Effect line, and what has to be known in five seconds: how bad, can it be undone, how much. */
export const Head: FC<{ dossier: Dossier; sheet: Sheet | null; now: number }> = ({ dossier, sheet, now }) => {
  const { shown, summary } = dossier;
  return (
    <header class="effect">
      <div class="effect-line">
        <h1>
          {sheet === null ? <Line text={summary.summary ?? summary.tool} /> : sheet.cell("/effectLine")}
        </h1>
        {dossier.code === null ? null : (
          <span
            class="code-big"
            title="The same six characters stand in every channel and in the agent's transcript"
          >
            <span class="sr">request code </span>
            {dossier.code}
          </span>
        )}
      </div>
      {sheet === null ? null : <p class="effect-summary">{sheet.cell("/preview/summary")}</p>}
      {shown === null || sheet === null ? null : (
        <>
          <Warnings view={shown.view} sheet={sheet} />
          <Facts view={shown.view} sheet={sheet} />
        </>
      )}
      {dossier.pending === null ? null : (
        <p class="effect-left">
          <Icon name="clock" />
          <span class="fine">Denied by itself </span>
          <Distance at={dossier.pending.deadline} now={now} />
        </p>
      )}
    </header>
  );
};

const RISK: Readonly<Record<string, readonly [band: string, words: string]>> = {
  read: ["low", "reads only"],
  write: ["moderate", "changes things"],
  destructive: ["high", "destroys things"],
  privilege: ["high", "changes who may do what"],
};

const Facts: FC<{ view: View; sheet: Sheet }> = ({ view, sheet }) => {
  const [band, words] = RISK[view.effect] ?? ["high", "unknown effect"];
  // What is none says little in five seconds; it stands behind the rest.
  const counts = Object.entries(view.preview.counts).sort(
    ([, a], [, b]) => Number(a === 0) - Number(b === 0),
  );
  return (
    <>
      {counts.length === 0 ? null : (
        <dl class="counts">
          {counts.map(([name, count]) => (
            <div class={count === 0 ? "count-of count-zero" : "count-of"}>
              <dt>{name.replaceAll("_", " ")}</dt>
              <dd>{sheet.cell(`/preview/counts/${name}`)}</dd>
            </div>
          ))}
        </dl>
      )}
      <dl class="facts">
        <div class={`fact risk-${band}`}>
          <dt>Risk</dt>
          <dd>
            {band}
            {sheet.flags.size > 0 ? ", raised" : ""}
            <span class="fine">
              {words} ({sheet.cell("/effect")})
            </span>
          </dd>
        </div>
        <div class="fact">
          <dt>Can it be undone</dt>
          <dd>{sheet.cell("/preview/reversible")}</dd>
        </div>
        <div class="fact">
          <dt>Where</dt>
          <dd>
            <ul class="targets">
              {view.targets.map((target, i) => (
                <li>
                  {sheet.cell(`/targets/${i}/kind`)} <b>{sheet.cell(`/targets/${i}/id`)}</b>{" "}
                  <span class={`chip env${/^prod/i.test(target.environment) ? " env-prod" : ""}`}>
                    {sheet.cell(`/targets/${i}/environment`)}
                  </span>
                </li>
              ))}
            </ul>
          </dd>
        </div>
      </dl>
    </>
  );
};

/** What must be known before anything is read. */
const Warnings: FC<{ view: View; sheet: Sheet }> = ({ view, sheet }) => (
  <>
    {view.preview.complete ? null : (
      <div class="note note-bad" role="note">
        <Icon name="warning" />
        <div>
          <b>Incomplete: not everything could be seen.</b>
          <p>Nobody may approve what nobody could see whole. This can only be denied.</p>
        </div>
      </div>
    )}
    {sheet.flags.size === 0 ? null : (
      <div class="note note-warn" role="note">
        <Icon name="warning" />
        <div>
          <b>Look closely: some text below tries not to be seen as it is.</b>
          <p>It was made visible or marked ⟦like this⟧. Found:</p>
          <ul>
            {[...sheet.flags].sort().map((flag) => (
              <li>{FLAG_WORDS[flag]}</li>
            ))}
          </ul>
        </div>
      </div>
    )}
    {view.preview.warnings.map((_, i) => (
      <div class="note note-warn" role="note">
        <Icon name="warning" />
        <div>
          <b>{sheet.cell(`/preview/warnings/${i}/text`)}</b>
          <p class="fine">
            The tool warns: <code>{sheet.cell(`/preview/warnings/${i}/code`)}</code>
          </p>
        </div>
      </div>
    ))}
  </>
);

/** Where it stands now; for what has ended, what came of it. */
export const Status: FC<{ dossier: Dossier; now: number }> = ({ dossier }) => {
  const { summary, history } = dossier;
  const [, tone] = PHASES[summary.phase];
  const settled = ofKind(history, "execution.settled").at(-1);
  const resolved = ofKind(history, "execution.resolved").at(-1);
  const denied = ofKind(history, "consent.settled").find(({ data }) => data.outcome === "denied");
  const refused = ofKind(history, "request.refused").at(-1);
  const stale = ofKind(history, "request.stale").at(-1);
  const environments = summary.environments;
  return (
    <section class={`status tone-${tone}`} data-live="status" id="status" aria-label="Where it stands">
      <PhaseChip phase={summary.phase} />
      {dossier.shown === null ? environments.map((name) => <EnvironmentChip name={name} />) : null}
      <Moment at={summary.updatedAt} form="short" />
      {denied === undefined ? null : (
        <p>
          Denied by <b>{denied.data.by.join(", ")}</b>
          {denied.data.reason === null ? "." : ": "}
          {denied.data.reason === null ? null : <Lines text={denied.data.reason} />}
        </p>
      )}
      {refused === undefined ? null : (
        <p>
          <Lines text={refused.data.message} />
          {refused.data.because.map((because) => (
            <>
              {" "}
              <Line text={because} />
            </>
          ))}
        </p>
      )}
      {stale === undefined ? null : (
        <p>
          <Lines text={stale.data.message} />
        </p>
      )}
      {settled === undefined ? null : (
        <p>
          <Lines text={settled.data.error?.message ?? settled.data.summary} />
        </p>
      )}
      {summary.phase === "unknown" ? (
        <p>
          Nobody knows whether it ran. <a href="#settle">Say what you find</a>
        </p>
      ) : null}
      {resolved === undefined ? null : (
        <p>
          <Line text={resolved.data.person ?? "the gateway"} /> found out:{" "}
          <Lines text={resolved.data.message} />
        </p>
      )}
    </section>
  );
};
