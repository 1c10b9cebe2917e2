import type { FC } from "hono/jsx";
import type { Person, Policy } from "../policy/policy.ts";
import type { Session } from "../transport/http/actor.ts";
import { Icon } from "./icon.tsx";
import { Page, type Frame } from "./layout.tsx";
import type { CredentialLine, Viewer } from "./reader.ts";
import { counted, Distance, Line, Moment } from "./text.tsx";

export interface PeoplePageProps {
  readonly frame: Frame;
  readonly viewer: Viewer;
  readonly policy: Policy;
  /** Null: this gateway keeps no passkeys. */
  readonly credentials: readonly CredentialLine[] | null;
  readonly sessions: readonly Session[] | null;
  readonly now: number;
}

/** Who may decide, with what; one's own passkeys and sign-ins first. */
export const PeoplePage: FC<PeoplePageProps> = ({ frame, viewer, policy, credentials, sessions, now }) => {
  const own = credentials?.filter(({ person }) => person === viewer.person) ?? [];
  const others = [...policy.people.values()].filter(({ id }) => id !== viewer.person);
  const me = policy.people.get(viewer.person);
  return (
    <Page frame={frame} title="People" at="/people" follows="people" kind="people">
      <div class="page-head">
        <h1>People and passkeys</h1>
        <p class="lede">
          People and groups come from the policy; a change of either, and of passkeys, is signed and stays in
          the log.
        </p>
      </div>
      <section class="card" id="me" aria-labelledby="me-title">
        <h2 id="me-title">
          You, {viewer.name} <span class="fine">{viewer.person}</span>
        </h2>
        <p>{groupsWords(policy, viewer.person)}</p>
        <p class="phone-only">
          <button type="button" class="quiet js-only" data-action="sign-out" hidden>
            Sign out
          </button>
        </p>
        <div data-live="own-passkeys" id="own-passkeys">
          <h3>Your passkeys</h3>
          {credentials === null ? (
            <p class="none">This gateway keeps no passkeys.</p>
          ) : own.length === 0 ? (
            <p class="none">
              You have none yet. With one you sign in here, and sign decisions that need A3. Add one below, or
              ask an admin for an invitation.
            </p>
          ) : (
            <Passkeys list={own} now={now} isOwn />
          )}
        </div>
        {credentials === null ? null : (
          <form data-action="add-passkey" class="inline-form js-only" hidden>
            <label class="field">
              <span>Name of the new passkey</span>
              <input name="label" required maxlength={64} placeholder="phone" autocomplete="off" />
            </label>
            <p class="sheet-error" role="alert"></p>
            <button class="button primary" data-submit>
              <Icon name="key" /> Add a passkey
            </button>
          </form>
        )}
        {me === undefined || me.ssh.length === 0 ? null : (
          <>
            <h3>Your SSH keys</h3>
            <ul class="keys-list">
              {me.ssh.map((key) => (
                <li>
                  <code class="digest">{key.fingerprint}</code>
                  <span class="chip">{key.userVerified ? "A3, verifies its user" : "A2"}</span>
                </li>
              ))}
            </ul>
          </>
        )}
        {sessions === null ? null : (
          <div data-live="sessions" id="sessions">
            <h3>Where you are signed in</h3>
            <ul class="sessions">
              {sessions.map((session) => (
                <li>
                  <div>
                    <b>{session.method === "passkey" ? "Passkey" : "Identity provider"}</b>
                    {session.id === viewer.session.id ? (
                      <span class="chip tone-good">this browser</span>
                    ) : null}
                    <p class="fine">
                      since <Moment at={session.signedInAt} form="short" />, ends{" "}
                      <Distance at={session.expiresAt} now={now} />
                    </p>
                  </div>
                  {session.id === viewer.session.id ? null : (
                    <button
                      type="button"
                      class="button small js-only"
                      data-action="end-session"
                      data-id={session.id}
                      hidden
                    >
                      End
                    </button>
                  )}
                </li>
              ))}
            </ul>
          </div>
        )}
      </section>
      <section aria-labelledby="others-title">
        <h2 id="others-title">Everybody else</h2>
        <ul class="people" data-live="people" id="people">
          {others.map((person) => (
            <PersonCard
              person={person}
              policy={policy}
              credentials={credentials?.filter((credential) => credential.person === person.id) ?? null}
              now={now}
            />
          ))}
        </ul>
      </section>
      <dialog id="invitation" class="sheet" aria-labelledby="invitation-title">
        <form method="dialog">
          <h2 id="invitation-title">Invitation</h2>
          <p data-invitation-words></p>
          <p>
            <output class="code-big" data-invitation-code></output>
          </p>
          <p class="digest" data-invitation-url></p>
          <p class="fine">
            Give it to the person over a way that you trust. It is shown once, works once, and ends by itself.
          </p>
          <div class="sheet-actions">
            <button class="button">Close</button>
          </div>
        </form>
      </dialog>
    </Page>
  );
};

function groupsWords(policy: Policy, person: string): string {
  const groups = [...policy.groups].filter(([, people]) => people.includes(person)).map(([group]) => group);
  return groups.length === 0 ? "In no group: asked for nothing." : `In ${groups.join(", ")}.`;
}

interface PersonCardProps {
  readonly person: Person;
  readonly policy: Policy;
  readonly credentials: readonly CredentialLine[] | null;
  readonly now: number;
}

const PersonCard: FC<PersonCardProps> = ({ person, policy, credentials, now }) => (
  <li class={person.disabled ? "person disabled" : "person"}>
    <div class="person-head">
      <span class="avatar" aria-hidden="true">
        {(person.name[0] ?? "?").toUpperCase()}
      </span>
      <div>
        <h3>
          <Line text={person.name} /> <span class="fine">{person.id}</span>
        </h3>
        <p class="fine">
          {person.disabled ? "Disabled: neither asked nor counted." : groupsWords(policy, person.id)}
          {person.ssh.length === 0 ? "" : ` ${counted(person.ssh.length, "SSH key")}.`}
        </p>
      </div>
      {person.disabled || credentials === null ? null : (
        <button
          type="button"
          class="button small js-only"
          data-action="invite"
          data-person={person.id}
          hidden
        >
          Invite<span class="sr"> {person.name}</span>
        </button>
      )}
    </div>
    {credentials === null || credentials.length === 0 ? null : (
      <Passkeys list={credentials} now={now} isOwn={false} />
    )}
  </li>
);

const Passkeys: FC<{ list: readonly CredentialLine[]; now: number; isOwn: boolean }> = ({
  list,
  now,
  isOwn,
}) => (
  <ul class="keys-list">
    {list.map((credential) => (
      <li>
        <Icon name="key" />
        <div>
          <b>
            <Line text={credential.label} />
          </b>{" "}
          {credential.countsFrom > now ? (
            <span class="chip tone-wait">
              cooling: A3 <Distance at={credential.countsFrom} now={now} />
            </span>
          ) : (
            <span class="chip tone-good">A3</span>
          )}
          <p class="fine">
            enrolled <Moment at={credential.enrolledAt} form="short" />
            {credential.backedUp ? ", synced by its maker" : ", bound to its device"}
          </p>
        </div>
        <button
          type="button"
          class="button small deny js-only"
          data-action="remove-passkey"
          data-id={credential.id}
          data-person={credential.person}
          hidden
        >
          Remove
          <span class="sr">
            {" "}
            {isOwn ? "your passkey" : `${credential.person}’s passkey`} <Line text={credential.label} />
          </span>
        </button>
      </li>
    ))}
  </ul>
);
