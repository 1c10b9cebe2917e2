import type { Child, FC } from "hono/jsx";
import type { Assets } from "./assets.ts";
import { FAVICON, Icon, Mark, type IconName } from "./icon.tsx";
import type { Viewer } from "./reader.ts";
import { Shortcuts } from "./shortcuts.tsx";

/** What every page needs besides its own content. */
export interface Frame {
  readonly viewer: Viewer | null;
  readonly assets: Assets;
  readonly version: string;
  readonly isolation: "service" | "none";
  readonly logId: string;
  /** Entries of the log that the page knows of: whoever follows it looks again where there are more. */
  readonly size: number;
  readonly rpId: string | null;
  /** How many requests wait for the person who looks; asked only where it is shown. */
  readonly mine: () => number;
}

const NAVIGATION: readonly (readonly [path: string, label: string, icon: IconName, key: string])[] = [
  ["/", "Inbox", "inbox", "i"],
  ["/log", "Log", "log", "l"],
  ["/policy", "Policy", "policy", "p"],
  ["/people", "People", "people", "u"],
  ["/health", "Health", "health", "h"],
];

interface PageProps {
  readonly frame: Frame;
  readonly title: string;
  /** Path of the navigation's entry that this page belongs to. */
  readonly at: string | null;
  /** Which events of the gateway make the page look again: `all`, a request id, `policy`, `people`; none: null. */
  readonly follows: string | null;
  readonly kind: string;
  readonly children?: Child;
}

/** A whole document. Regions with `data-live` are taken over from a newer copy of the page as things happen. */
export const Page: FC<PageProps> = ({ frame, title, at, follows, kind, children }) => {
  const { viewer, assets } = frame;
  return (
    <html lang="en" data-page={kind} data-follows={follows} data-size={frame.size}>
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover" />
        <meta name="color-scheme" content="light dark" />
        <meta name="robots" content="noindex" />
        {viewer === null ? null : <meta name="csrf" content={viewer.session.csrf} />}
        {frame.rpId === null ? null : <meta name="rp-id" content={frame.rpId} />}
        <title>{`${title} · Countersign`}</title>
        <link rel="icon" type="image/svg+xml" href={FAVICON} />
        <link rel="stylesheet" href={assets.style} />
        <script type="module" src={assets.script}></script>
      </head>
      <body>
        <a class="skip" href="#main">
          Skip to content
        </a>
        <Top frame={frame} at={at} />
        {frame.isolation === "none" ? <IsolationBanner /> : null}
        <main id="main" tabindex={-1}>
          {children}
        </main>
        <footer class="foot">
          <span>countersign {frame.version}</span>
          {viewer === null ? null : (
            <span>
              log <code>{frame.logId}</code>
            </span>
          )}
          <button type="button" class="link js-only" data-open="shortcuts" hidden>
            Keyboard shortcuts
          </button>
        </footer>
        <Shortcuts />
        <div id="toast" class="toast" role="status" aria-live="polite"></div>
      </body>
    </html>
  );
};

const Top: FC<{ frame: Frame; at: string | null }> = ({ frame, at }) => (
  <header class="top">
    <a class="brand" href="/">
      <Mark />
      <span>Countersign</span>
    </a>
    {frame.viewer === null ? null : (
      <>
        <nav class="nav" aria-label="Main">
          {NAVIGATION.map(([path, label, icon, key]) => (
            <a href={path} aria-current={path === at ? "page" : undefined} data-key={`g ${key}`}>
              <Icon name={icon} />
              <span>{label}</span>
              {path === "/" ? <Waiting mine={frame.mine()} /> : null}
            </a>
          ))}
        </nav>
        <div class="who">
          <span class="live" data-live-state="off" title="Live updates">
            <span class="live-dot" aria-hidden="true"></span>
            <span class="live-words js-only" hidden>
              Live
            </span>
          </span>
          <a class="who-name" href="/people#me">
            <span class="avatar" aria-hidden="true">
              {initials(frame.viewer.name)}
            </span>
            <span class="who-text">{frame.viewer.name}</span>
          </a>
          <button type="button" class="quiet js-only" data-action="sign-out" hidden>
            Sign out
          </button>
        </div>
      </>
    )}
  </header>
);

const Waiting: FC<{ mine: number }> = ({ mine }) => (
  <span class="nav-count" data-live="nav-count" id="nav-count">
    {mine === 0 ? null : (
      <b>
        {mine > 999 ? "999+" : mine}
        <span class="sr"> waiting for you</span>
      </b>
    )}
  </span>
);

/** Said on every page, because everything on it means less then. */
const IsolationBanner: FC = () => (
  <aside class="isolation" aria-label="Isolation">
    <Icon name="warning" />
    <p>
      <b>isolation: none</b>
      <span>
        {" "}
        <span class="isolation-why">
          This gateway runs as an account that agents may share: they could read its keys or edit its files.
        </span>{" "}
        <a href="/health#isolation">What that means</a>
      </span>
    </p>
  </aside>
);

const initials = (name: string): string =>
  name
    .split(/\s+/)
    .map((word) => word[0] ?? "")
    .slice(0, 2)
    .join("")
    .toUpperCase();

/** What there is to do where there is nothing to see. */
export const Empty: FC<{ icon: IconName; title: string; children?: Child }> = ({ icon, title, children }) => (
  <div class="empty">
    <Icon name={icon} />
    <h3>{title}</h3>
    <div>{children}</div>
  </div>
);
