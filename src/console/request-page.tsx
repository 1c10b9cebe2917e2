import type { Child, FC } from "hono/jsx";
import { neutralLine } from "../base/text.ts";
import type { PersonId } from "../request/principal.ts";
import { isClosedPhase } from "../request/requests.ts";
import type { Dossier } from "./dossier.ts";
import { Icon } from "./icon.tsx";
import { Page, type Frame } from "./layout.tsx";
import { standingIn } from "./position.ts";
import type { Viewer } from "./reader.ts";
import { Actions } from "./request-actions.tsx";
import { Evidence, FidelityNote } from "./request-evidence.tsx";
import { Head, Status } from "./request-head.tsx";
import { Asked, Inquiries, Quorum, Requester, Rules } from "./request-people.tsx";
import type { Evidence as EvidenceDocument } from "./shown.ts";
import { createSheet, DigestText, Lines } from "./text.tsx";
import { Timeline } from "./timeline.tsx";

// One request, in the order that every channel keeps (design §5): effect line · risk, reversibility, counts · agent, for
// whom, which approval yours would be · evidence with digest and fidelity · the rule and why · deadline · code · what
// was asked and answered · last, boxed, the agent's own words. Then what happened, how far the quorum is, what to do.
//
//   C4. All of the view stands on the page; long documents are folded, never shortened, and what was not opened is said
//       before anyone signs. A view that is not complete, or lost, offers no approval.

export interface RequestPageProps {
  readonly frame: Frame;
  readonly viewer: Viewer;
  readonly dossier: Dossier;
  /** A person's name in the running policy. */
  readonly nameOf: (person: PersonId) => string;
  readonly now: number;
}

export const RequestPage: FC<RequestPageProps> = ({ frame, viewer, dossier, nameOf, now }) => {
  const { summary, shown, question, pending, planned } = dossier;
  const sheet = shown === null ? null : createSheet(shown.view);
  const standing = standingIn(dossier, viewer);
  const title = sheet === null ? neutralLine(summary.tool) : sheet.text("/effectLine");
  const effect = shown?.view.effect ?? dossier.received?.effect ?? "read";
  return (
    <Page
      frame={frame}
      title={`${dossier.code === null ? "" : `${dossier.code} · `}${title}`}
      at="/"
      follows={isClosedPhase(summary.phase) ? null : summary.id}
      kind="request"
    >
      <a class="back" href="/">
        <Icon name="back" /> Inbox
      </a>
      <article class={`request effect-${effect}`} data-request={summary.id}>
        <div class="request-main">
          <Head dossier={dossier} sheet={sheet} now={now} />
          <Status dossier={dossier} now={now} />
          <Requester dossier={dossier} standing={standing} person={viewer.person} />
          {sheet === null || shown === null ? (
            <NoView dossier={dossier} />
          ) : (
            <Evidence view={shown.view} sheet={sheet} />
          )}
          {question === null ? null : <FidelityNote question={question} />}
          <div class="card pair">
            <Rules dossier={dossier} sheet={sheet} />
            <Asked dossier={dossier} now={now} />
          </div>
          <Inquiries dossier={dossier} />
          {sheet === null ? null : (
            <Reasoning>
              {sheet.has("/reasoning/justification") ? (
                <p class="lines">{sheet.cell("/reasoning/justification")}</p>
              ) : null}
              {sheet.has("/reasoning/chain") ? (
                <pre class="code-block" tabindex={0}>
                  {sheet.cell("/reasoning/chain")}
                </pre>
              ) : null}
              {sheet.has("/reasoning/justification") || sheet.has("/reasoning/chain") ? null : (
                <p class="none">The agent gave none.</p>
              )}
            </Reasoning>
          )}
          <section class="card" data-live="timeline" id="timeline" aria-labelledby="timeline-title">
            <h2 id="timeline-title">What happened</h2>
            <Timeline history={dossier.history} />
            <p class="request-links">
              <a href={`/log?subject=${summary.id}`}>In the log</a>
              <a href={`/api/v1/requests/${summary.id}/receipt`} download={`${summary.id}.receipt`}>
                Receipt
              </a>
            </p>
            <p class="fine">
              Request <code>{summary.id}</code>
            </p>
          </section>
        </div>
        <div class="request-side">
          <section class="card" data-live="quorum" id="quorum" aria-labelledby="quorum-title">
            <h2 id="quorum-title">Who has to agree</h2>
            <Quorum dossier={dossier} nameOf={nameOf} now={now} />
          </section>
          <Actions
            dossier={dossier}
            viewer={viewer}
            standing={standing}
            effectLine={title}
            flags={sheet?.flags ?? null}
          />
        </div>
      </article>
      {pending === null || shown === null || question === null || planned === null ? null : (
        <EvidenceJson
          evidence={{
            view: shown.view,
            salt: shown.salt,
            question,
            requirement: pending.requirement,
            code: pending.code,
            person: viewer.person,
          }}
        />
      )}
    </Page>
  );
};

const Reasoning: FC<{ children?: Child }> = ({ children }) => (
  <section class="unverified" aria-labelledby="reasoning-title">
    <h2 id="reasoning-title">Agent’s stated reasoning (unverified)</h2>
    <p class="fine">
      The agent wrote this. Nothing in it was checked, and no rule relies on it to allow anything.
    </p>
    {children}
  </section>
);

const NoView: FC<{ dossier: Dossier }> = ({ dossier }) => {
  if (dossier.isViewLost) {
    return (
      <section class="note note-bad">
        <h2>The document is gone</h2>
        <p>
          What people were shown was erased after its time, or is damaged. Its digest stays in the log;
          without the document this can only be denied.
        </p>
      </section>
    );
  }
  const { summary } = dossier;
  return (
    <section class="note">
      <h2>Nothing was previewed</h2>
      <p>The call ended before there was anything to show people.</p>
      {summary.summary === null ? null : (
        <p>
          <Lines text={summary.summary} />
        </p>
      )}
      {dossier.received === null ? null : (
        <p class="fine">
          Arguments <DigestText digest={dossier.received.maskedArguments.digest} />
        </p>
      )}
    </section>
  );
};

/**
 * Data, not script: what the page's script hashes and compares with what stands above. Everything but plain ASCII is
 * escaped, so that neither markup nor a hidden character stands in the page's own bytes (P3).
 */
const EvidenceJson: FC<{ evidence: EvidenceDocument }> = ({ evidence }) => (
  <script
    type="application/json"
    id="evidence"
    dangerouslySetInnerHTML={{
      __html: JSON.stringify(evidence).replace(
        /[<>&\u007f-\uffff]/g,
        (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
      ),
    }}
  />
);
