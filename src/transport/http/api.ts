import { getRequestListener } from "@hono/node-server";
import { Hono, type Context } from "hono";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import type { RequestId } from "../../base/id.ts";
import { systemClock, type Clock } from "../../base/clock.ts";
import type { Home } from "../../gate/home.ts";
import { actorName, type Actor, type ApiEnv, type Sessions, type TokenActor } from "./actor.ts";
import { answerJson, COMMON_HEADERS } from "./answer.ts";
import { apiRoutes } from "./api-routes.ts";
import type { Authenticate } from "./bearer.ts";
import { createEvents } from "./events.ts";
import { checkFrontDoor, createFrontDoor, rightAddress, type FrontDoor } from "./front-door.ts";
import { createIdentify, isCsrf } from "./identify.ts";
import { listen, type ListenParts } from "./listen.ts";
import { isOpenPage, isOpenRoute } from "./open-routes.ts";
import { answerProblem, faultProblem, problem, PROBLEM_TYPE, type Problem } from "./problem.ts";
import { createRateLimits, type RateLimits } from "./rate-limits.ts";
import { mountRoutes, tooMany, type RouteDoc } from "./route.ts";
import type { Settling } from "./settlement-routes.ts";
import type { Inquiring } from "./inquiry-routes.ts";
import { createTurnedAwayLog } from "./turned-away.ts";
import type { VerificationState } from "./verification.ts";

// The people's listener: JSON for programs and for the console, and the console's pages. Never the agents' listener.
//
//   A1. A token of the MCP listener does not open it, and nothing an agent holds can decide here (P1).
//   A2. A decision counts by its proof. A token only lets its bearer hand it in; a session's word is the session's.
//   A3. Who speaks is known before a body is read: a token with scopes, or a session. A session proves with its CSRF
//       token that its own page speaks, on everything but GET; without a token, a browser has to send our Origin too.
//   A4. No CORS, nothing cached, nothing framed; pages set a policy of their own, everything else has the strictest.

export type ApiHome = Pick<Home, "desk" | "requests" | "store" | "gate" | "adoption" | "tools">;

export interface ApiParts {
  readonly home: ApiHome;
  readonly listener: { readonly host: string; readonly port: number };
  /** Complete Host headers beside `localhost:port`, for a proxy. */
  readonly hosts?: readonly string[];
  readonly tokens: Authenticate<TokenActor>;
  readonly sessions?: Sessions;
  /** Mounted at `/`; sets its own CSP. Without a session its pages lead to `/sign-in`. */
  readonly pages?: Hono<ApiEnv>;
  /** What a person in a browser reads where the listener itself turns them away; `home` is the right address. */
  readonly refusalPage?: (
    status: 400 | 403 | 421,
    home: string,
  ) => { readonly html: string; readonly headers: Readonly<Record<string, string>> };
  /** Sign-in, people and credentials, mounted under `/api/v1`; what is open of them is in open-routes.ts. */
  readonly peopleRoutes?: Hono<ApiEnv>;
  /** What `peopleRoutes` serves, for the OpenAPI document. */
  readonly peopleRouteDocs?: readonly RouteDoc[];
  /** The text of what proves one request offline; without it the route says that there is none. */
  readonly receipt?: (request: RequestId) => Promise<string>;
  /** How far the log was verified last; without it the route says that nobody looks. */
  readonly verification?: () => VerificationState;
  readonly inquiries?: Inquiring;
  readonly settling?: Settling;
  readonly version: string;
  readonly clock?: Clock;
  readonly log: Logger;
  /** Tests wait less and knock more. */
  readonly timeouts?: ListenParts["timeouts"];
  readonly heartbeatMs?: number;
  readonly limits?: RateLimits;
}

export interface Api {
  readonly url: string;
  readonly port: number;
  close(graceMs?: number): Promise<void>;
}

const PREFIX = "/api/v1";
/** A thousand consoles that listen for events, and the calls between. */
const MAX_CONNECTIONS = 4_096;

interface Bindings {
  readonly incoming: IncomingMessage;
}
type Env = ApiEnv & { readonly Bindings: Bindings };

/**
 * Opens the people's listener. Port 0 takes a free one.
 * @throws CountersignError `LISTEN_FAILED`
 */
export async function startApi(parts: ApiParts): Promise<Api> {
  const clock = parts.clock ?? systemClock;
  const limits = parts.limits ?? createRateLimits(() => clock.monotonic());
  const turnedAway = createTurnedAwayLog(parts.log, "api");
  const identify = createIdentify({
    tokens: parts.tokens,
    ...(parts.sessions === undefined ? {} : { sessions: parts.sessions }),
    now: () => clock.now(),
  });
  const events = createEvents({
    store: parts.home.store,
    phaseOf: (request) => parts.home.requests.peek(request),
    stands: identify.stands,
    heartbeatMs: parts.heartbeatMs ?? 15_000,
  });
  const refuse = (what: Problem): Response => {
    turnedAway.count(what.status);
    return answerProblem(what);
  };

  const app = new Hono<Env>();
  app.use(async (c, next) => {
    const { incoming } = c.env;
    const { actor, rejected } = identify(incoming.headers);
    const address = incoming.socket.remoteAddress ?? "";
    c.set("actor", actor);
    if (actor === null) {
      const refused = strangers(c, rejected, parts, refuse, () => limits.take("strangers", address));
      if (refused !== null) return refused;
    }
    const isWrite = c.req.method !== "GET" && c.req.method !== "HEAD";
    const forged = isWrite ? forgery(actor, incoming) : null;
    if (forged !== null) return refuse(forged);
    const waiting = limits.take(
      isWrite ? "writes" : "reads",
      actor === null ? `address ${address}` : actorName(actor),
    );
    if (waiting !== null) return refuse(tooMany(waiting));
    await next();
    return undefined;
  });
  app.route(PREFIX, mountRoutes(apiRoutes(parts, events), limits));
  if (parts.peopleRoutes !== undefined) app.route(PREFIX, parts.peopleRoutes);
  app.all(`${PREFIX}/*`, () => answerProblem(problem("not_found")));
  if (parts.pages !== undefined) app.route("/", parts.pages);
  app.notFound(() => answerProblem(problem("not_found")));
  app.onError((error, context) => answerFault(parts.log, error, context));
  const serveApp = getRequestListener(
    async (request, { incoming }) => withHeaders(await app.fetch(request, { incoming })),
    { overrideGlobalObjects: false },
  );

  let door: FrontDoor = createFrontDoor(parts.listener.port, []);
  let port = parts.listener.port;
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const away = checkFrontDoor(request, door);
    if (away === null) return serveApp(request, response);
    const right = away.code === "wrong_host" ? rightAddress(request, port) : null;
    if (right !== null) {
      response.writeHead(307, { ...COMMON_HEADERS, location: right, "content-length": "0" }).end();
      return;
    }
    turnedAway.count(away.status);
    const isBrowser = request.method === "GET" && /\btext\/html\b/.test(request.headers.accept ?? "");
    if (isBrowser && parts.refusalPage !== undefined) {
      const page = parts.refusalPage(away.status, `http://localhost:${port}`);
      response.writeHead(away.status, { ...COMMON_HEADERS, ...page.headers }).end(page.html);
      return;
    }
    const what = problem(away.code, away.message);
    answerJson(response, what.status, what, { "content-type": PROBLEM_TYPE });
  };

  const listening = await listen({
    ...parts.listener,
    what: "API listener",
    setting: "listeners.api in countersign.yaml",
    maxConnections: MAX_CONNECTIONS,
    ...(parts.timeouts === undefined ? {} : { timeouts: parts.timeouts }),
    handle: (request, response) => {
      serve(request, response).catch((error: unknown) => {
        parts.log.error({ err: error }, "api request failed");
        if (response.headersSent) response.destroy();
        else answerJson(response, 500, problem("internal"), { "content-type": PROBLEM_TYPE });
      });
    },
  });
  port = listening.port;
  door = createFrontDoor(port, ["localhost"], parts.hosts, isPage);
  return {
    url: `http://localhost:${port}`,
    port,
    async close(graceMs = 2_000) {
      events.close();
      await listening.close(graceMs);
      turnedAway.stop();
    },
  };
}

/** Where a link may lead: pages, and the way back from an identity provider. */
const isPage = (path: string): boolean =>
  !path.startsWith("/api/") || path === `${PREFIX}/auth/oidc/callback` || path === `${PREFIX}/auth/oidc`;

/** What becomes of somebody who is nobody; null where the door is open to all. */
function strangers(
  c: Context<Env>,
  rejected: boolean,
  parts: ApiParts,
  refuse: (what: Problem) => Response,
  take: () => number | null,
): Response | null {
  const raw = c.env.incoming.url ?? "";
  const { method, path } = c.req;
  const isApi = path.startsWith("/api/");
  // As it came and as it is routed: what is written another way is not what the list names.
  const isOpen =
    raw.split("?")[0] === path &&
    (isOpenRoute(method, path, raw) || (parts.pages !== undefined && isOpenPage(method, path)));
  if (isOpen && !rejected) return null;
  const isForPages = parts.pages !== undefined && !isApi && !rejected && method === "GET";
  // The way to sign-in is open to everybody, whoever else knocks from the same address.
  const waiting = isForPages ? null : take();
  if (waiting !== null) return refuse(tooMany(waiting));
  if (isForPages) return c.redirect(`/sign-in?next=${encodeURIComponent(raw)}`, 303);
  return refuse(problem("unauthenticated"));
}

/** Whether another page may have sent this in the name of a person (A3). */
function forgery(actor: Actor | null, { headers }: IncomingMessage): Problem | null {
  if (actor?.kind === "token") return null;
  // Wrong origins were refused at the door; here it has to be there at all.
  if (headers.origin === undefined) return problem("wrong_origin", "without a token, Origin is needed");
  if (actor === null) return null;
  const given = headers["x-csrf-token"];
  const fits = isCsrf(typeof given === "string" ? given : undefined, actor.session.csrf);
  return fits ? null : problem("csrf");
}

/** The strictest headers, where a page did not set its own. */
function withHeaders(response: Response): Response {
  for (const [name, value] of Object.entries(COMMON_HEADERS)) {
    if (!response.headers.has(name)) response.headers.set(name, value);
  }
  return response;
}

function answerFault(log: Logger, error: unknown, context: Context): Response {
  const known = faultProblem(error);
  if (known === null || known.status >= 500)
    log.error({ err: error, path: context.req.path }, "api request failed");
  return answerProblem(known ?? problem("internal"));
}
