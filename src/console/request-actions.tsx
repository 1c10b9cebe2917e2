import type { Child, FC } from "hono/jsx";
import type { TextFlag } from "../base/text.ts";
import type { Standing } from "../consent/standing.ts";
import type { Dossier } from "./dossier.ts";
import { Icon } from "./icon.tsx";
import { neededProof, signWith, type SignWith } from "./position.ts";
import type { Viewer } from "./reader.ts";

// What the person who looks may do. The page only offers; the desk decides what counts.

export interface ActionsProps {
  readonly dossier: Dossier;
  readonly viewer: Viewer;
  readonly standing: Standing | null;
  /** Neutral. */
  readonly effectLine: string;
  readonly flags: ReadonlySet<TextFlag> | null;
}

export const Actions: FC<ActionsProps> = (props) => {
  const { dossier, standing } = props;
  return (
    <div class="actions" data-live="actions" id="actions">
      {dossier.summary.phase === "unknown" ? <Settle {...props} /> : null}
      {standing === null ? <Over dossier={dossier} /> : null}
      {standing?.kind === "approver" ? <Decide {...props} standing={standing} /> : null}
      {standing?.kind === "decided" ? <Decided {...props} standing={standing} /> : null}
    </div>
  );
};

const Over: FC<{ dossier: Dossier }> = ({ dossier }) => {
  if (dossier.question === null || dossier.summary.phase === "unknown") return null;
  return (
    <section class="card over" aria-label="Settled">
      <p>
        <b>This is settled.</b>{" "}
        {dossier.summary.phase === "held"
          ? "Its deadline has passed."
          : "Nobody can decide about it any more."}
      </p>
      <div class="bar">
        <button type="button" class="button deny" disabled>
          Deny
        </button>
        <button type="button" class="button approve" disabled>
          Approve
        </button>
      </div>
    </section>
  );
};

type Approver = Extract<Standing, { kind: "approver" }>;

const Decide: FC<ActionsProps & { standing: Approver }> = (props) => {
  const { dossier, viewer, standing } = props;
  const isWhole = dossier.shown?.view.preview.complete === true;
  const sign = signWith(viewer, neededProof(dossier, standing));
  const mayApprove = isWhole && sign.kind !== "none";
  return (
    <section class="card decide" aria-label="Your decision">
      <div class="bar js-only" hidden>
        <button type="button" class="button deny" data-open="deny">
          <Icon name="cross" /> Deny
        </button>
        <button type="button" class="button" data-open="ask">
          <Icon name="ask" /> Ask
        </button>
        {mayApprove ? (
          <button type="button" class="button approve" data-open="approve">
            <Icon name={sign.kind === "passkey" ? "key" : "check"} />
            {sign.kind === "passkey" ? " Review and sign" : " Approve"}
          </button>
        ) : (
          <button type="button" class="button approve" disabled aria-describedby="why-not">
            Approve
          </button>
        )}
      </div>
      {mayApprove ? null : (
        <p class="fine" id="why-not">
          {isWhole ? (
            <WhyNot sign={sign} code={dossier.code ?? ""} />
          ) : (
            "Not everything could be seen, so this can only be denied."
          )}
        </p>
      )}
      <noscript>
        <p>
          Reading works without JavaScript; deciding does not. In a terminal:{" "}
          <code>countersign approve {dossier.code}</code> or <code>countersign deny {dossier.code}</code>
        </p>
      </noscript>
      {mayApprove ? <ApproveSheet {...props} sign={sign} /> : null}
      <DenySheet {...props} />
      <AskSheet />
    </section>
  );
};

const WhyNot: FC<{ sign: SignWith; code: string }> = ({ sign, code }) =>
  sign.kind === "none" ? (
    <>
      The policy wants {sign.needs}: a passkey that verifies you and has cooled down.{" "}
      <a href="/people#me">See your passkeys</a>, or sign with such a key in a terminal:{" "}
      <code>countersign approve {code}</code>. Denying works from here.
    </>
  ) : null;

const Sheet: FC<{ id: string; title: string; action: string; children?: Child }> = ({
  id,
  title,
  action,
  children,
}) => (
  <dialog id={id} class="sheet" aria-labelledby={`${id}-title`}>
    <form method="dialog" data-action={action}>
      <h2 id={`${id}-title`} tabindex={-1} autofocus>
        {title}
      </h2>
      {children}
      <p class="sheet-error" role="alert"></p>
    </form>
  </dialog>
);

const SheetButtons: FC<{ children?: Child }> = ({ children }) => (
  <div class="sheet-actions">
    <button type="button" class="button" data-close>
      Cancel
    </button>
    {children}
  </div>
);

const Head: FC<{ effectLine: string; code: string | null }> = ({ effectLine, code }) => (
  <p class="sheet-effect">
    <bdi>{effectLine}</bdi>
    <span class="code-big">{code}</span>
  </p>
);

const ApproveSheet: FC<ActionsProps & { sign: SignWith }> = ({ dossier, effectLine, sign, viewer }) => (
  <Sheet id="approve" title={sign.kind === "passkey" ? "What you sign" : "Approve"} action="approve">
    <Head effectLine={effectLine} code={dossier.code} />
    <ul class="checks" data-checks aria-live="polite">
      <li class="check-wait">Comparing what this page shows with what would be signed…</li>
    </ul>
    <p class="sheet-unread note note-warn" data-unread hidden></p>
    <label class="field">
      <span>
        Why, for the log <span class="fine">(optional)</span>
      </span>
      <input name="reason" maxlength={2000} autocomplete="off" />
    </label>
    <input type="hidden" name="with" value={sign.kind} />
    <p class="fine">
      {sign.kind === "passkey"
        ? `Your passkey signs one statement as ${viewer.person}: this decision, about exactly this question. You can take it back until it runs.`
        : `The gateway records that ${viewer.person}, signed in with ${viewer.session.method}, approved (A2 for five minutes after signing in).`}
    </p>
    <SheetButtons>
      <button class="button approve" value="approve" disabled data-submit>
        {sign.kind === "passkey" ? "Sign with passkey" : "Approve"}
      </button>
    </SheetButtons>
  </Sheet>
);

const DenySheet: FC<ActionsProps> = ({ dossier, effectLine }) => (
  <Sheet id="deny" title="Deny" action="deny">
    <Head effectLine={effectLine} code={dossier.code} />
    <fieldset class="choice">
      <legend>What may the agent do?</legend>
      <label class="check">
        <input type="radio" name="class" value="final" checked />
        <span>
          <b>Nothing more.</b> Final: the same call is refused for a while.
        </span>
      </label>
      <label class="check">
        <input type="radio" name="class" value="fixable" />
        <span>
          <b>Correct it and ask again.</b> Fixable: say below what has to change.
        </span>
      </label>
    </fieldset>
    <label class="field">
      <span>Your words to the agent</span>
      <textarea name="reason" rows={3} maxlength={2000} placeholder="Wrong region; use eu-west-1"></textarea>
    </label>
    <SheetButtons>
      <button class="button deny" value="deny" data-submit>
        Deny it
      </button>
    </SheetButtons>
  </Sheet>
);

const AskSheet: FC = () => (
  <Sheet id="ask" title="Ask the agent" action="ask">
    <p class="fine">
      The agent gets your question with its pending call. Its answer appears here, marked as unverified; the
      deadline stays.
    </p>
    <label class="field">
      <span>Your question</span>
      <textarea
        name="text"
        rows={3}
        maxlength={2000}
        required
        placeholder="Why now, and not in the window tonight?"
      ></textarea>
    </label>
    <SheetButtons>
      <button class="button primary" value="ask" data-submit>
        Ask
      </button>
    </SheetButtons>
  </Sheet>
);

const Decided: FC<ActionsProps & { standing: Extract<Standing, { kind: "decided" }> }> = ({
  dossier,
  effectLine,
  standing,
  viewer,
}) => (
  <section class="card decide" aria-label="Your decision">
    <p>
      <b>You have {standing.decision} this.</b>{" "}
      {dossier.pending !== null ? "Others still have to answer." : ""}
    </p>
    <div class="bar js-only" hidden>
      <button type="button" class="button" data-open="ask">
        <Icon name="ask" /> Ask
      </button>
      <button type="button" class="button" data-open="take-back">
        <Icon name="undo" /> Take it back
      </button>
    </div>
    <Sheet id="take-back" title="Take your approval back" action="take-back">
      <Head effectLine={effectLine} code={dossier.code} />
      <p class="fine">
        The approval is dead afterwards. You can deny, or approve anew with another signature.
      </p>
      <label class="field">
        <span>
          Why <span class="fine">(optional)</span>
        </span>
        <input name="reason" maxlength={2000} autocomplete="off" />
      </label>
      <input type="hidden" name="with" value={viewer.passkey === null ? "session" : "passkey"} />
      <SheetButtons>
        <button class="button primary" value="take-back" data-submit>
          Take it back
        </button>
      </SheetButtons>
    </Sheet>
    <AskSheet />
  </section>
);

const Settle: FC<ActionsProps> = ({ viewer }) => (
  <section class="card settle" id="settle" aria-label="Settle the outcome">
    <h2>Did it run?</h2>
    <p>
      The result was lost, and countersign does not guess. Look at the backend, then say what you saw: your
      word is signed and stays in the log.
    </p>
    <form data-action="settle" class="js-only" hidden>
      <fieldset class="choice">
        <legend class="sr">What happened</legend>
        <label class="check">
          <input type="radio" name="outcome" value="done" required />
          <span>
            <b>It ran.</b> The effect is there.
          </span>
        </label>
        <label class="check">
          <input type="radio" name="outcome" value="failed" required />
          <span>
            <b>It did not run.</b> Nothing changed.
          </span>
        </label>
        <label class="check">
          <input type="radio" name="outcome" value="again" required />
          <span>
            <b>It did not run; ask for it again.</b> As a new request, which people decide about anew.
          </span>
        </label>
      </fieldset>
      <label class="field">
        <span>What you saw, and where</span>
        <textarea name="message" rows={3} maxlength={1000} required></textarea>
      </label>
      <input type="hidden" name="with" value={viewer.passkey === null ? "session" : "passkey"} />
      <p class="sheet-error" role="alert"></p>
      <button class="button primary" data-submit>
        {viewer.passkey === null ? "Settle" : "Sign and settle"}
      </button>
    </form>
    <noscript>
      <p>Settling needs JavaScript, or a terminal: countersign resolve.</p>
    </noscript>
  </section>
);
