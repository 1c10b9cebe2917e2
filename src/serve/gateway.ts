import { join } from "node:path";
import type { Surroundings } from "../config/environment.ts";
import type { Settings } from "../config/settings.ts";
import { CountersignError } from "../errors.ts";
import { thisOwner } from "../execution/owner.ts";
import type { RequestId } from "../base/id.ts";
import type { Home } from "../gate/home.ts";
import { startApi } from "../transport/http/api.ts";
import { createBearer } from "../transport/http/bearer.ts";
import { PEOPLE_ROUTE_DOCS } from "../transport/http/people-route-docs.ts";
import { startMcpHttp } from "../transport/mcp/http.ts";
import { clientViews } from "./client-views.ts";
import { keepSteward } from "./keep-steward.ts";
import { announce, findRunning, withdrawAnnouncement } from "./running.ts";
import { consolePages } from "./console-pages.ts";
import { createLogVerifier } from "./log-verifier.ts";
import { createPeople } from "./people.ts";
import { apiTokens, localToken, mcpClients } from "./tokens.ts";
import { verifyInWorker } from "./verify-in-worker.ts";

/** A gateway that listens: agents on one port, people on another, never on one (P1). */
export interface Gateway {
  readonly mcp: string;
  readonly api: string;
  close(): Promise<void>;
}

export interface GatewayParts {
  readonly home: Home;
  readonly settings: Settings;
  readonly around: Pick<Surroundings, "account">;
  readonly version: string;
  readonly now: () => number;
  /** The text of what proves one request offline. */
  readonly receipt: (home: Home, request: RequestId) => Promise<string>;
  /** Where the thread that verifies the log lies. */
  readonly verifyWorker: URL;
}

/**
 * Opens both listeners and becomes the steward as soon as nobody else is.
 * @throws CountersignError `STEWARD_BUSY` where another gateway serves the home, `LISTEN_FAILED`
 */
export async function startGateway(parts: GatewayParts): Promise<Gateway> {
  const { home, settings, version } = parts;
  const { dataDir, listeners } = settings;
  const other = await findRunning(dataDir, parts.now());
  if (other !== null) {
    throw new CountersignError(
      "STEWARD_BUSY",
      `a gateway serves this home already (pid ${other.owner.pid})`,
      {
        hint: `use it at ${other.mcp}, or stop it first`,
      },
    );
  }
  const [mcpToken, apiToken] = [await localToken(dataDir, "csm"), await localToken(dataDir, "csa")];
  const failed = async (error: unknown, ...opened: readonly { close(): Promise<void> }[]): Promise<never> => {
    for (const listener of opened) await listener.close();
    throw error;
  };
  // Only here: who uses no access tokens pays for no JWT library.
  const oauth =
    settings.oauth === null
      ? null
      : (await import("../transport/mcp/oauth-door.ts")).createOauthDoor({
          settings: settings.oauth,
          log: home.log,
          now: parts.now,
        });
  const mcp = await startMcpHttp({
    gate: home.gate,
    ...(oauth === null ? {} : { oauth }),
    now: parts.now,
    listener: listeners.mcp,
    authenticate: createBearer(mcpClients(settings, mcpToken, parts.around.account)),
    ...(await clientViews(settings, parts.now)),
    version,
    log: home.log,
  });
  const verifier = createLogVerifier({
    now: parts.now,
    log: home.log,
    run: async (signal) =>
      verifyInWorker(
        parts.verifyWorker,
        { directory: join(dataDir, "log"), against: [await home.store.checkpoint()] },
        signal,
      ),
  });
  const people = await createPeople(home, settings);
  const console = await consolePages({
    home,
    settings,
    sessions: people.sessions,
    version,
    now: parts.now,
    passkeys: home.credentials,
    oidc: settings.oidc !== null,
    verification: () => verifier.state(),
  }).catch((error: unknown) => failed(error, mcp));
  const api = await startApi({
    home,
    version,
    sessions: people.sessions,
    peopleRoutes: people.routes,
    peopleRouteDocs: PEOPLE_ROUTE_DOCS,
    ...console,
    verification: () => verifier.state(),
    hosts: settings.api.hosts,
    receipt: (request) => parts.receipt(home, request),
    inquiries: { inquire: home.desk.inquire, answer: home.gate.answer },
    settling: home,
    listener: listeners.api,
    tokens: createBearer(apiTokens(settings, apiToken)),
    log: home.log,
  }).catch((error: unknown) => failed(error, mcp));
  home.credentials.serveAt(api.url);
  await announce(dataDir, { owner: thisOwner(parts.now()), mcp: mcp.url, api: api.url, version }).catch(
    (error: unknown) => failed(error, mcp, api),
  );
  // Only now: a gateway that could not listen ends without having run or expired anything.
  const stopSteward = keepSteward(home);
  verifier.start();
  return {
    mcp: mcp.url,
    api: api.url,
    async close() {
      stopSteward();
      await withdrawAnnouncement(dataDir);
      await Promise.all([mcp.close(), api.close(), verifier.stop()]);
      await people.sessions.flush();
    },
  };
}
