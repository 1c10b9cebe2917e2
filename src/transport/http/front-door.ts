import type { IncomingMessage } from "node:http";

// The checks that come before anything of a request is believed, read or parsed.
//
//   H1. The Host header is one of the names this listener is reached by, port included, else 421: a page that rebinds
//       its own name to 127.0.0.1 still sends its own name.
//   H2. Origin is absent or one of our own, else 403. `Sec-Fetch-Site` is absent, `same-origin` or `none`: absence
//       proves nothing (browsers leave it out on a rebound plain-http name), so it is only ever a reason to refuse.
//       The one exception is a person who follows a link or comes back from signing in: a top-level GET navigation to a
//       page may come from another site. It changes nothing, and its answer can't be read or framed by that site.
//   H3. Neither header alone is enough, and neither replaces the bearer token that follows.

export interface FrontDoor {
  /** Lower-case `host:port` values that a Host header may have. */
  readonly hosts: ReadonlySet<string>;
  /** Origins that a browser may send. */
  readonly origins: ReadonlySet<string>;
  /** Paths that a link of another site may lead to; absent: none. */
  readonly isPage?: (path: string) => boolean;
}

export interface TurnedAway {
  readonly status: 400 | 403 | 421;
  readonly code: "bad_request" | "wrong_host" | "wrong_origin";
  readonly message: string;
}

/**
 * The names a listener on `port` answers to. `loopback` are host names without port; `configured` are complete
 * `host:port` values the operator added, for a proxy or a container.
 */
export function createFrontDoor(
  port: number,
  loopback: readonly string[],
  configured: readonly string[] = [],
  isPage?: (path: string) => boolean,
): FrontDoor {
  const own = loopback.map((host) => (port === 80 ? host : `${host}:${port}`));
  const added = configured.map((host) => host.toLowerCase());
  return {
    hosts: new Set([...own, ...added]),
    origins: new Set([
      ...own.map((host) => `http://${host}`),
      ...added.flatMap((host) => [`http://${host}`, `https://${host}`]),
    ]),
    ...(isPage === undefined ? {} : { isPage }),
  };
}

/** Null where the request may come in. */
export function checkFrontDoor(request: IncomingMessage, door: FrontDoor): TurnedAway | null {
  // Node keeps the first of two Host headers and drops the rest; a proxy in front may have believed the other one.
  if (request.headersDistinct["host"]?.length !== 1) {
    return { status: 400, code: "bad_request", message: "exactly one Host header is needed" };
  }
  const host = request.headers.host ?? "";
  if (!door.hosts.has(host.toLowerCase())) {
    return {
      status: 421,
      code: "wrong_host",
      message: `this listener answers to ${[...door.hosts].join(", ")} only`,
    };
  }
  const origin = request.headers.origin;
  if (origin !== undefined && !door.origins.has(origin)) {
    return {
      status: 403,
      code: "wrong_origin",
      message: "pages of other origins may not call this listener",
    };
  }
  const site = request.headers["sec-fetch-site"];
  const followsLink =
    isNavigation(request) && door.isPage?.((request.url ?? "").split("?")[0] ?? "") === true;
  if (site !== undefined && site !== "same-origin" && site !== "none" && !followsLink) {
    return { status: 403, code: "wrong_origin", message: "pages of other sites may not call this listener" };
  }
  return null;
}

/** A person's own browser window goes to an address: nothing inside a page can send this. */
export const isNavigation = (request: IncomingMessage): boolean =>
  request.method === "GET" &&
  request.headers["sec-fetch-mode"] === "navigate" &&
  request.headers["sec-fetch-dest"] === "document";

/**
 * Where a navigation to this listener's loopback address belongs: browsers know a passkey of `localhost`, never one of
 * an address. Null where it goes nowhere else.
 */
export function rightAddress(request: IncomingMessage, port: number): string | null {
  const { host = "", accept = "" } = request.headers;
  const isLoopback = host === `127.0.0.1:${port}` || host === `[::1]:${port}`;
  const isPage = isNavigation(request) || (request.method === "GET" && accept.includes("text/html"));
  const target = request.url ?? "";
  // What stands before the path is ours, so that no path can lead elsewhere.
  return isLoopback && isPage && target.startsWith("/") ? `http://localhost:${port}${target}` : null;
}
