import { getRequestListener } from "@hono/node-server";
import { Hono, type Context } from "hono";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Logger } from "pino";
import type { RequestId } from "../../base/id.ts";
import type { Home } from "../../gate/home.ts";
import { answerJson, COMMON_HEADERS } from "./answer.ts";
import { apiRoutes } from "./api-routes.ts";
import type { Authenticate } from "./bearer.ts";
import { checkFrontDoor, createFrontDoor, type FrontDoor } from "./front-door.ts";
import { listen } from "./listen.ts";
import { answerProblem, faultProblem, problem, PROBLEM_TYPE, type Problem } from "./problem.ts";
import { createTurnedAwayLog } from "./turned-away.ts";

// The people's listener: JSON for programs that show requests and carry decisions. Never the agents' listener.
//
//   A1. A token of the MCP listener does not open it, and nothing here takes one (P1).
//   A2. A decision counts by the signature over its statement. The token only lets its bearer hand it in.
//   A3. Everything is JSON, text of agents and backends included: no page, no CORS, no cookie, nothing cached.

/** Who holds a token of the API. */
export interface ApiClient {
  readonly name: string;
  readonly tokenSha256: string;
}

export interface ApiParts {
  readonly home: Pick<Home, "desk" | "requests" | "store">;
  readonly listener: { readonly host: string; readonly port: number };
  /** Complete `host:port` values beside `localhost`, for a proxy. */
  readonly hosts?: readonly string[];
  readonly authenticate: Authenticate<ApiClient>;
  /** The text of what proves one request offline; without it the route says that there is none. */
  readonly receipt?: (request: RequestId) => Promise<string>;
  readonly log: Logger;
}

export interface Api {
  readonly url: string;
  readonly port: number;
  close(graceMs?: number): Promise<void>;
}

const PREFIX = "/api/v1";

/**
 * Opens the API listener. Port 0 takes a free one.
 * @throws CountersignError `LISTEN_FAILED`
 */
export async function startApi(parts: ApiParts): Promise<Api> {
  const turnedAway = createTurnedAwayLog(parts.log, "api");
  const app = new Hono();
  app.route(PREFIX, apiRoutes(parts));
  app.notFound(() => answerProblem(problem("not_found")));
  app.onError((error, context) => answerFault(parts.log, error, context));
  const serveApp = getRequestListener(
    async (request) => {
      const response = await app.fetch(request);
      for (const [name, value] of Object.entries(COMMON_HEADERS)) response.headers.set(name, value);
      return response;
    },
    { overrideGlobalObjects: false },
  );

  let door: FrontDoor = createFrontDoor(parts.listener.port, []);
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const refuse = (what: Problem, headers: Record<string, string> = {}): void => {
      turnedAway.count(what.status);
      answerJson(response, what.status, what, { ...headers, "content-type": PROBLEM_TYPE });
    };
    const away = checkFrontDoor(request, door);
    if (away !== null) return refuse(problem(away.code, away.message));
    // Compared as it came: anything written another way needs the token.
    const isProbe = request.method === "GET" && request.url === `${PREFIX}/health`;
    if (!isProbe && parts.authenticate(request.headers.authorization) === null) {
      return refuse(problem("unauthenticated"), { "www-authenticate": 'Bearer realm="countersign-api"' });
    }
    await serveApp(request, response);
  };

  const listening = await listen({
    ...parts.listener,
    what: "API listener",
    setting: "listeners.api in countersign.yaml",
    handle: (request, response) => {
      serve(request, response).catch((error: unknown) => {
        parts.log.error({ err: error }, "api request failed");
        if (response.headersSent) response.destroy();
        else answerJson(response, 500, problem("internal"), { "content-type": PROBLEM_TYPE });
      });
    },
  });
  door = createFrontDoor(listening.port, ["localhost"], parts.hosts);
  return {
    url: `http://localhost:${listening.port}`,
    port: listening.port,
    async close(graceMs = 2_000) {
      await listening.close(graceMs);
      turnedAway.stop();
    },
  };
}

function answerFault(log: Logger, error: unknown, context: Context): Response {
  const known = faultProblem(error);
  if (known === null || known.status >= 500)
    log.error({ err: error, path: context.req.path }, "api request failed");
  return answerProblem(known ?? problem("internal"));
}
