import type { FC } from "hono/jsx";
import { Icon, Mark } from "./icon.tsx";
import { Page, type Frame } from "./layout.tsx";

/** The way in. `to` is a path of ours, checked by the caller. */
export const SignInPage: FC<{ frame: Frame; to: string; oidc: boolean }> = ({ frame, to, oidc }) => (
  <Page frame={frame} title="Sign in" at={null} follows={null} kind="sign-in">
    <section class="door">
      <Mark />
      <h1>Sign in to Countersign</h1>
      <p class="lede">People decide here about what agents want to do.</p>
      <form data-action="sign-in" data-to={to} class="js-only" hidden>
        <p class="sheet-error" role="alert"></p>
        <button class="button primary wide" data-submit>
          <Icon name="key" /> Sign in with a passkey
        </button>
      </form>
      {oidc ? (
        <a class="button wide" href={`/api/v1/auth/oidc?to=${encodeURIComponent(to)}`}>
          Sign in with your identity provider
        </a>
      ) : null}
      <noscript>
        <p class="note">Passkeys need JavaScript. In a terminal: countersign pending.</p>
      </noscript>
      <div class="door-help">
        <p>
          <b>No passkey yet?</b> An admin gives you a code: <a href="/enrol">enrol with it</a>.
        </p>
        <p>
          <b>First one here?</b> On the gateway’s own terminal:{" "}
          <code>countersign people invite &lt;you&gt;</code>
        </p>
      </div>
    </section>
  </Page>
);

/** A new person, or a new device, with a one-time code. */
export const EnrolPage: FC<{ frame: Frame; code: string }> = ({ frame, code }) => (
  <Page frame={frame} title="Enrol a passkey" at={null} follows={null} kind="enrol">
    <section class="door">
      <Mark />
      <h1>Enrol a passkey</h1>
      <p class="lede">With it you sign in here, and your fingerprint, face or PIN signs your decisions.</p>
      <form data-action="enrol" class="js-only" hidden>
        <label class="field">
          <span>One-time code</span>
          <input
            name="code"
            value={code}
            required
            autocomplete="one-time-code"
            autocapitalize="characters"
            spellcheck={false}
          />
        </label>
        <label class="field">
          <span>What to call this passkey</span>
          <input name="label" required maxlength={64} placeholder="phone" autocomplete="off" />
        </label>
        <p class="sheet-error" role="alert"></p>
        <button class="button primary wide" data-submit>
          <Icon name="key" /> Make the passkey
        </button>
      </form>
      <noscript>
        <p class="note">Making a passkey needs JavaScript.</p>
      </noscript>
      <div class="door-help">
        <p>
          A new passkey is announced to everybody, and for some time counts only where a sign-in would:
          somebody who took over your session must not gain your signature.
        </p>
        <p>
          <a href="/sign-in">I have a passkey</a>
        </p>
      </div>
    </section>
  </Page>
);
