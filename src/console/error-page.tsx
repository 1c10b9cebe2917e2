import type { Child, FC } from "hono/jsx";
import { Icon } from "./icon.tsx";
import { Page, type Frame } from "./layout.tsx";
import { Line } from "./text.tsx";

export type ErrorStatus = 400 | 401 | 403 | 404 | 421 | 500 | 503;

interface ErrorPageProps {
  readonly frame: Frame;
  readonly status: ErrorStatus;
  /** What happened, where there is more to say than the page says anyway; not necessarily ours. */
  readonly detail?: string | null;
  /** Where the gateway is reached, for 421. */
  readonly home?: string;
}

/** What went wrong, in plain words, and the next step. */
export const ErrorPage: FC<ErrorPageProps> = ({ frame, status, detail, home }) => {
  const [title, next] = words(status, home);
  return (
    <Page frame={frame} title={title} at={null} follows={null} kind="error">
      <section class="door">
        <p class="door-status">
          <Icon name="warning" /> {status}
        </p>
        <h1>{title}</h1>
        {detail == null ? null : (
          <p>
            <Line text={detail} />
          </p>
        )}
        <div class="lede">{next}</div>
      </section>
    </Page>
  );
};

function words(status: ErrorStatus, home: string | undefined): readonly [title: string, next: Child] {
  const inbox = (
    <p>
      <a href="/">Go to the inbox</a>
    </p>
  );
  switch (status) {
    case 400:
      return ["That address does not make sense here", inbox];
    case 401:
      return [
        "Sign in first",
        <p>
          Your session has ended, or there was none. <a href="/sign-in">Sign in</a>
        </p>,
      ];
    case 403:
      return [
        "That came from somewhere else",
        <p>
          Another page or site asked for this in your name. If that was you, open the console by its own
          address.
        </p>,
      ];
    case 404:
      return [
        "There is nothing here",
        <p>
          The request may be old: look for it in the <a href="/log">log</a>, or see{" "}
          <a href="/">what waits now</a>.
        </p>,
      ];
    case 421:
      return [
        "Not under this name",
        home === undefined ? (
          <p>
            This gateway does not answer to the name in the address bar. Use the one that it printed when it
            started.
          </p>
        ) : (
          <p>
            This gateway answers to <a href={home}>{home}</a> only: passkeys belong to that name, and a page
            that borrowed another one could act for you.
          </p>
        ),
      ];
    case 500:
      return [
        "The gateway could not answer",
        <p>
          Nothing was decided by this. Its operator finds the cause in its own log; trying again does no harm.
        </p>,
      ];
    case 503:
      return [
        "The gateway can’t write its log",
        <p>
          Nothing runs and nothing is decided until an operator looks: disk space and the gateway’s own log
          first.
        </p>,
      ];
  }
}
